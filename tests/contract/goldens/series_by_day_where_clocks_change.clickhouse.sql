SELECT
  k0 AS c0,
  m_p50_latency AS c1,
  m_users AS c2,
  (toFloat64(m_latency_sum) / nullIf(toFloat64(m_latency_count), 0)) AS c3
FROM (
  SELECT
    k0 AS k0,
    quantileExactInclusiveOrNull(0.5)("response_time") AS m_p50_latency,
    toInt64(uniqExact(nullIf("_user", ''))) AS m_users,
    toInt64(ifNull(sum("response_time"), 0)) AS m_latency_sum,
    toInt64(countIf((NOT ("response_time" IS NULL)) <> 0)) AS m_latency_count
  FROM (
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
      "response_time",
      "_user"
    FROM "generations"
    WHERE
      (
        "created_at" >= toDateTime64('2026-03-20 10:00:00.000', 3, 'UTC')
        AND "created_at" <= toDateTime64('2026-04-02 12:00:00.000', 3, 'UTC')
      )
      AND "organisation_id" = 'org-1'
  ) AS keyed
  GROUP BY
    GROUPING SETS (
      (k0),
      ()
    )
) AS groups
ORDER BY
  k0 ASC
LIMIT 15
