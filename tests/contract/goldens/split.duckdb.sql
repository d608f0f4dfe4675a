SELECT
  k0 AS c0,
  m_cost AS c1,
  CAST(m_latency_sum AS DOUBLE) / NULLIF(CAST(m_latency_count AS DOUBLE), 0) AS c2,
  m_last_seen AS c3,
  m_unpriced_requests AS c4,
  COUNT(*) OVER () AS total
FROM (
  SELECT
    k0,
    CAST(COALESCE(SUM(m_requests), 0) AS BIGINT) AS m_requests,
    CAST(SUM(m_cost) AS DECIMAL(38, 12)) AS m_cost,
    CAST(COALESCE(SUM(m_latency_sum), 0) AS BIGINT) AS m_latency_sum,
    CAST(COALESCE(SUM(m_latency_count), 0) AS BIGINT) AS m_latency_count,
    MAX(m_last_seen) AS m_last_seen,
    CAST(COALESCE(SUM(m_unpriced_requests), 0) AS BIGINT) AS m_unpriced_requests
  FROM (
    SELECT
      COALESCE("ai_model", '') AS k0,
      "requests" AS m_requests,
      "cost" AS m_cost,
      "latency_sum" AS m_latency_sum,
      "latency_count" AS m_latency_count,
      "last_seen" AS m_last_seen,
      "unpriced_requests" AS m_unpriced_requests
    FROM "rollup_day_model"
    WHERE
      (
        "day" BETWEEN CAST(CAST('2026-02-02 00:00:00.000' AS TIMESTAMP) AS DATE) AND CAST(CAST('2026-02-09 23:59:59.999' AS TIMESTAMP) AS DATE)
        OR "day" BETWEEN CAST(CAST('2026-02-11 00:00:00.000' AS TIMESTAMP) AS DATE) AND CAST(CAST('2026-02-28 23:59:59.999' AS TIMESTAMP) AS DATE)
      )
      AND "organisation_id" = 'org-1'
    UNION ALL
    SELECT
      COALESCE("ai_model", '') AS k0,
      COUNT(*) AS m_requests,
      CAST(SUM("cost") AS DECIMAL(38, 12)) AS m_cost,
      CAST(COALESCE(SUM("response_time"), 0) AS BIGINT) AS m_latency_sum,
      CAST(COALESCE(COUNT_IF(NOT "response_time" IS NULL), 0) AS BIGINT) AS m_latency_count,
      MAX("created_at") AS m_last_seen,
      CAST(COALESCE(COUNT_IF("cost" IS NULL), 0) AS BIGINT) AS m_unpriced_requests
    FROM "generations"
    WHERE
      (
        (
          "created_at" >= CAST('2026-02-01 10:00:00.000' AS TIMESTAMP)
          AND "created_at" <= CAST('2026-02-01 23:59:59.999' AS TIMESTAMP)
        )
        OR (
          "created_at" >= CAST('2026-02-10 00:00:00.000' AS TIMESTAMP)
          AND "created_at" <= CAST('2026-02-10 23:59:59.999' AS TIMESTAMP)
        )
      )
      AND "organisation_id" = 'org-1'
    GROUP BY
      k0
  ) AS partials
  GROUP BY
    k0
) AS groups
ORDER BY
  m_requests DESC,
  k0 ASC
LIMIT 50
