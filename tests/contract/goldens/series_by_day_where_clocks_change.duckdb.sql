SELECT
  k0 AS c0,
  m_p50_latency AS c1,
  m_users AS c2,
  CAST(m_latency_sum AS DOUBLE) / NULLIF(CAST(m_latency_count AS DOUBLE), 0) AS c3
FROM (
  SELECT
    k0 AS k0,
    CAST(LIST_EXTRACT(QUANTILE_CONT("response_time", [0.5, 0.9, 0.95, 0.99]), 1) AS DOUBLE) AS m_p50_latency,
    COUNT(DISTINCT NULLIF("_user", '')) AS m_users,
    CAST(COALESCE(SUM("response_time"), 0) AS BIGINT) AS m_latency_sum,
    CAST(COALESCE(COUNT_IF(NOT "response_time" IS NULL), 0) AS BIGINT) AS m_latency_count
  FROM (
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
      "response_time",
      "_user"
    FROM "generations"
    WHERE
      (
        "created_at" >= CAST('2026-03-20 10:00:00.000' AS TIMESTAMP)
        AND "created_at" <= CAST('2026-04-02 12:00:00.000' AS TIMESTAMP)
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
