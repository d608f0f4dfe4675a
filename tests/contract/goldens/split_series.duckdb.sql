SELECT
  k0 AS c0,
  m_cost AS c1,
  CAST(m_cache_hits * 100 AS DOUBLE) / NULLIF(CAST(m_cache_lookups AS DOUBLE), 0) AS c2,
  m_unpriced_requests AS c3
FROM (
  SELECT
    k0,
    CAST(SUM(m_cost) AS DECIMAL(38, 12)) AS m_cost,
    CAST(COALESCE(SUM(m_cache_hits), 0) AS BIGINT) AS m_cache_hits,
    CAST(COALESCE(SUM(m_cache_lookups), 0) AS BIGINT) AS m_cache_lookups,
    CAST(COALESCE(SUM(m_unpriced_requests), 0) AS BIGINT) AS m_unpriced_requests
  FROM (
    SELECT
      CASE
        WHEN "hour" < CAST('2026-03-28 23:00:00.000' AS TIMESTAMP)
        THEN CAST((
          EPOCH_US(CAST("hour" AS TIMESTAMP)) - EPOCH_US(CAST('2026-03-19 23:00:00.000' AS TIMESTAMP))
        ) // 86400000000 AS BIGINT) + 1
        ELSE CASE
          WHEN "hour" < CAST('2026-03-29 22:00:00.000' AS TIMESTAMP)
          THEN 10
          ELSE CAST((
            EPOCH_US(CAST("hour" AS TIMESTAMP)) - EPOCH_US(CAST('2026-03-29 22:00:00.000' AS TIMESTAMP))
          ) // 86400000000 AS BIGINT) + 11
        END
      END AS k0,
      "cost" AS m_cost,
      "cache_hits" AS m_cache_hits,
      "cache_lookups" AS m_cache_lookups,
      "unpriced_requests" AS m_unpriced_requests
    FROM "rollup_hour_workspace"
    WHERE
      (
        "hour" >= CAST('2026-03-20 10:00:00.000' AS TIMESTAMP)
        AND "hour" <= CAST('2026-03-31 23:59:59.999' AS TIMESTAMP)
      )
      AND "organisation_id" = 'org-1'
    UNION ALL
    SELECT
      CASE
        WHEN "created_at" < CAST('2026-03-28 23:00:00.000' AS TIMESTAMP)
        THEN CAST((
          EPOCH_US(CAST("created_at" AS TIMESTAMP)) - EPOCH_US(CAST('2026-03-19 23:00:00.000' AS TIMESTAMP))
        ) // 86400000000 AS BIGINT) + 1
        ELSE CASE
          WHEN "created_at" < CAST('2026-03-29 22:00:00.000' AS TIMESTAMP)
          THEN 10
          ELSE CAST((
            EPOCH_US(CAST("created_at" AS TIMESTAMP)) - EPOCH_US(CAST('2026-03-29 22:00:00.000' AS TIMESTAMP))
          ) // 86400000000 AS BIGINT) + 11
        END
      END AS k0,
      CAST(SUM("cost") AS DECIMAL(38, 12)) AS m_cost,
      CAST(COALESCE(COUNT_IF(LOWER("cache_status") IN ('hit', 'semantic hit')), 0) AS BIGINT) AS m_cache_hits,
      CAST(COALESCE(COUNT_IF(NOT "cache_status" IS NULL AND NOT LOWER("cache_status") IN ('disabled', '')), 0) AS BIGINT) AS m_cache_lookups,
      CAST(COALESCE(COUNT_IF("cost" IS NULL), 0) AS BIGINT) AS m_unpriced_requests
    FROM "generations"
    WHERE
      (
        "created_at" >= CAST('2026-04-01 00:00:00.000' AS TIMESTAMP)
        AND "created_at" <= CAST('2026-04-02 12:00:00.000' AS TIMESTAMP)
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
