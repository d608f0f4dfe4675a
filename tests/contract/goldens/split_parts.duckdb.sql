SELECT
  m_cost AS c0,
  CAST(m_error_count * 100 AS DOUBLE) / NULLIF(CAST(m_requests AS DOUBLE), 0) AS c1,
  m_cache_hits AS c2,
  CAST(m_total_tokens AS DOUBLE) / NULLIF(CAST(m_requests AS DOUBLE), 0) AS c3,
  m_p95_latency AS c4,
  m_users AS c5,
  m_feedbacks AS c6,
  m_unpriced_requests AS c7,
  COUNT(*) OVER () AS total
FROM (
  SELECT
    CAST(COALESCE(SUM(m_requests), 0) AS BIGINT) AS m_requests,
    CAST(SUM(m_cost) AS DECIMAL(38, 12)) AS m_cost,
    CAST(COALESCE(SUM(m_error_count), 0) AS BIGINT) AS m_error_count,
    CAST(COALESCE(SUM(m_cache_hits), 0) AS BIGINT) AS m_cache_hits,
    CAST(COALESCE(SUM(m_total_tokens), 0) AS BIGINT) AS m_total_tokens,
    MAX(m_p95_latency) AS m_p95_latency,
    MAX(m_users) AS m_users,
    CAST(COALESCE(SUM(m_feedbacks), 0) AS BIGINT) AS m_feedbacks,
    CAST(COALESCE(SUM(m_unpriced_requests), 0) AS BIGINT) AS m_unpriced_requests
  FROM (
    SELECT
      "requests" AS m_requests,
      "cost" AS m_cost,
      "error_count" AS m_error_count,
      "cache_hits" AS m_cache_hits,
      "total_tokens" AS m_total_tokens,
      NULL AS m_p95_latency,
      NULL AS m_users,
      NULL AS m_feedbacks,
      "unpriced_requests" AS m_unpriced_requests
    FROM "rollup_hour_workspace"
    WHERE
      (
        "hour" >= CAST('2026-02-01 10:00:00.000' AS TIMESTAMP)
        AND "hour" <= CAST('2026-02-27 23:59:59.999' AS TIMESTAMP)
      )
      AND "organisation_id" = 'org-1'
    UNION ALL
    SELECT
      COUNT(*) AS m_requests,
      CAST(SUM("cost") AS DECIMAL(38, 12)) AS m_cost,
      CAST(COALESCE(COUNT_IF(NOT "is_success"), 0) AS BIGINT) AS m_error_count,
      CAST(COALESCE(COUNT_IF(LOWER("cache_status") IN ('hit', 'semantic hit')), 0) AS BIGINT) AS m_cache_hits,
      CAST(COALESCE(SUM("total_units"), 0) AS BIGINT) AS m_total_tokens,
      NULL AS m_p95_latency,
      NULL AS m_users,
      NULL AS m_feedbacks,
      CAST(COALESCE(COUNT_IF("cost" IS NULL), 0) AS BIGINT) AS m_unpriced_requests
    FROM "generations"
    WHERE
      (
        "created_at" >= CAST('2026-02-28 00:00:00.000' AS TIMESTAMP)
        AND "created_at" <= CAST('2026-02-28 23:59:59.999' AS TIMESTAMP)
      )
      AND "organisation_id" = 'org-1'
    UNION ALL
    SELECT
      NULL AS m_requests,
      NULL AS m_cost,
      NULL AS m_error_count,
      NULL AS m_cache_hits,
      NULL AS m_total_tokens,
      CAST(LIST_EXTRACT(QUANTILE_CONT("response_time", [0.5, 0.9, 0.95, 0.99]), 3) AS DOUBLE) AS m_p95_latency,
      COUNT(DISTINCT NULLIF("_user", '')) AS m_users,
      NULL AS m_feedbacks,
      NULL AS m_unpriced_requests
    FROM "generations"
    WHERE
      (
        "created_at" >= CAST('2026-02-01 10:00:00.000' AS TIMESTAMP)
        AND "created_at" <= CAST('2026-02-28 23:59:59.999' AS TIMESTAMP)
      )
      AND "organisation_id" = 'org-1'
    UNION ALL
    SELECT
      NULL AS m_requests,
      NULL AS m_cost,
      NULL AS m_error_count,
      NULL AS m_cache_hits,
      NULL AS m_total_tokens,
      NULL AS m_p95_latency,
      NULL AS m_users,
      CAST(COALESCE(SUM("feedbacks"), 0) AS BIGINT) AS m_feedbacks,
      NULL AS m_unpriced_requests
    FROM (
      SELECT
        COUNT(*) AS "requests",
        MAX(rated_feedbacks) AS "feedbacks",
        MAX(rated_sum) AS "weighted_sum",
        MAX(rated_count) AS "weighted_count"
      FROM (
        SELECT
          rated_trace,
          rated_feedbacks,
          rated_sum,
          rated_count
        FROM "generations"
        JOIN (
          SELECT
            "trace_id" AS rated_trace,
            COUNT(*) AS rated_feedbacks,
            SUM(CAST("weighted" AS DOUBLE)) AS rated_sum,
            CAST(COALESCE(COUNT_IF(NOT "weighted" IS NULL), 0) AS BIGINT) AS rated_count
          FROM "feedbacks"
          WHERE
            "organisation_id" = 'org-1' AND "trace_id" <> ''
          GROUP BY
            rated_trace
        ) AS ratings
          ON "trace_id" = rated_trace
        WHERE
          (
            "created_at" >= CAST('2026-02-01 10:00:00.000' AS TIMESTAMP)
            AND "created_at" <= CAST('2026-02-28 23:59:59.999' AS TIMESTAMP)
          )
          AND "organisation_id" = 'org-1'
      ) AS keyed
      GROUP BY
        rated_trace
    ) AS traces
  ) AS partials
) AS groups
ORDER BY
  m_requests DESC
LIMIT 50
