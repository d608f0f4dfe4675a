SELECT
  k0 AS c0,
  m_cost AS c1,
  (toFloat64(m_cache_hits * 100) / nullIf(toFloat64(m_cache_lookups), 0)) AS c2,
  m_unpriced_requests AS c3
FROM (
  SELECT
    k0,
    CAST(sumOrNull(m_cost) AS Nullable(Decimal(38, 12))) AS m_cost,
    toInt64(ifNull(sum(m_cache_hits), 0)) AS m_cache_hits,
    toInt64(ifNull(sum(m_cache_lookups), 0)) AS m_cache_lookups,
    toInt64(ifNull(sum(m_unpriced_requests), 0)) AS m_unpriced_requests
  FROM (
    SELECT
      CASE
        WHEN "hour" < toDateTime64('2026-03-28 23:00:00.000', 3, 'UTC')
        THEN toInt64(
          intDiv(
            toUnixTimestamp64Milli(toDateTime64("hour", 3, 'UTC')) - toUnixTimestamp64Milli(toDateTime64(toDateTime64('2026-03-19 23:00:00.000', 3, 'UTC'), 3, 'UTC')),
            86400000
          )
        ) + 1
        ELSE CASE
          WHEN "hour" < toDateTime64('2026-03-29 22:00:00.000', 3, 'UTC')
          THEN 10
          ELSE toInt64(
            intDiv(
              toUnixTimestamp64Milli(toDateTime64("hour", 3, 'UTC')) - toUnixTimestamp64Milli(toDateTime64(toDateTime64('2026-03-29 22:00:00.000', 3, 'UTC'), 3, 'UTC')),
              86400000
            )
          ) + 11
        END
      END AS k0,
      "cost" AS m_cost,
      "cache_hits" AS m_cache_hits,
      "cache_lookups" AS m_cache_lookups,
      "unpriced_requests" AS m_unpriced_requests
    FROM "rollup_hour_workspace"
    WHERE
      (
        "hour" >= toDateTime64('2026-03-20 10:00:00.000', 3, 'UTC')
        AND "hour" <= toDateTime64('2026-03-31 23:59:59.999', 3, 'UTC')
      )
      AND "organisation_id" = 'org-1'
    UNION ALL
    SELECT
      CASE
        WHEN "created_at" < toDateTime64('2026-03-28 23:00:00.000', 3, 'UTC')
        THEN toInt64(
          intDiv(
            toUnixTimestamp64Milli(toDateTime64("created_at", 3, 'UTC')) - toUnixTimestamp64Milli(toDateTime64(toDateTime64('2026-03-19 23:00:00.000', 3, 'UTC'), 3, 'UTC')),
            86400000
          )
        ) + 1
        ELSE CASE
          WHEN "created_at" < toDateTime64('2026-03-29 22:00:00.000', 3, 'UTC')
          THEN 10
          ELSE toInt64(
            intDiv(
              toUnixTimestamp64Milli(toDateTime64("created_at", 3, 'UTC')) - toUnixTimestamp64Milli(toDateTime64(toDateTime64('2026-03-29 22:00:00.000', 3, 'UTC'), 3, 'UTC')),
              86400000
            )
          ) + 11
        END
      END AS k0,
      CAST(sumOrNull("cost") AS Nullable(Decimal(38, 12))) AS m_cost,
      toInt64(countIf((lowerUTF8("cache_status") IN ('hit', 'semantic hit')) <> 0)) AS m_cache_hits,
      toInt64(countIf((NOT ("cache_status" IS NULL) AND NOT (lowerUTF8("cache_status") IN ('disabled', ''))) <> 0)) AS m_cache_lookups,
      toInt64(countIf(("cost" IS NULL) <> 0)) AS m_unpriced_requests
    FROM "generations"
    WHERE
      (
        "created_at" >= toDateTime64('2026-04-01 00:00:00.000', 3, 'UTC')
        AND "created_at" <= toDateTime64('2026-04-02 12:00:00.000', 3, 'UTC')
      )
      AND "organisation_id" = 'org-1'
    GROUP BY
      k0
  ) AS partials
  GROUP BY
    GROUPING SETS (
      (k0),
      ()
    )
) AS groups
ORDER BY
  k0 ASC
LIMIT 15
