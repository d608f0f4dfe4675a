SELECT
  k0 AS c0,
  m_requests AS c1,
  m_cost AS c2,
  m_unpriced_requests AS c3,
  m_priced_requests AS c4,
  m_unpriced_tokens AS c5,
  m_cost_low AS c6,
  m_cost_high AS c7,
  m_unbounded_requests AS c8,
  m_total_tokens AS c9,
  m_error_count AS c10,
  m_p95_latency AS c11,
  m_p99_latency AS c12,
  m_last_seen AS c13,
  m_first_seen AS c14,
  CAST(m_total_tokens AS DOUBLE) / NULLIF(CAST(m_requests AS DOUBLE), 0) AS c15,
  CAST(m_input_units AS DOUBLE) / NULLIF(CAST(m_requests AS DOUBLE), 0) AS c16,
  CAST(m_output_units AS DOUBLE) / NULLIF(CAST(m_requests AS DOUBLE), 0) AS c17,
  CAST(m_latency_sum AS DOUBLE) / NULLIF(CAST(m_latency_count AS DOUBLE), 0) AS c18,
  CAST(m_successes * 100 AS DOUBLE) / NULLIF(CAST(m_requests AS DOUBLE), 0) AS c19,
  CAST(m_cache_hits * 100 AS DOUBLE) / NULLIF(CAST(m_cache_lookups AS DOUBLE), 0) AS c20,
  COUNT(*) OVER () AS total
FROM (
  SELECT
    COALESCE("ai_model", '') AS k0,
    COUNT(*) AS m_requests,
    CAST(SUM("cost") AS DECIMAL(38, 12)) AS m_cost,
    CAST(COALESCE(COUNT_IF("cost" IS NULL), 0) AS BIGINT) AS m_unpriced_requests,
    CAST(COALESCE(COUNT_IF(NOT "cost" IS NULL), 0) AS BIGINT) AS m_priced_requests,
    CAST(COALESCE(SUM(CASE WHEN "cost" IS NULL THEN "total_units" ELSE 0 END), 0) AS BIGINT) AS m_unpriced_tokens,
    CAST(SUM(COALESCE("cost_low", "cost")) AS DECIMAL(38, 12)) AS m_cost_low,
    CAST(SUM(COALESCE("cost_high", "cost")) AS DECIMAL(38, 12)) AS m_cost_high,
    CAST(COALESCE(COUNT_IF(COALESCE("cost_high", "cost") IS NULL), 0) AS BIGINT) AS m_unbounded_requests,
    CAST(COALESCE(SUM("total_units"), 0) AS BIGINT) AS m_total_tokens,
    CAST(COALESCE(COUNT_IF(NOT "is_success"), 0) AS BIGINT) AS m_error_count,
    CAST(LIST_EXTRACT(QUANTILE_CONT("response_time", [0.95, 0.99]), 1) AS DOUBLE) AS m_p95_latency,
    CAST(LIST_EXTRACT(QUANTILE_CONT("response_time", [0.95, 0.99]), 2) AS DOUBLE) AS m_p99_latency,
    MAX("created_at") AS m_last_seen,
    MIN("created_at") AS m_first_seen,
    CAST(COALESCE(SUM("req_units"), 0) AS BIGINT) AS m_input_units,
    CAST(COALESCE(SUM("res_units"), 0) AS BIGINT) AS m_output_units,
    CAST(COALESCE(SUM("response_time"), 0) AS BIGINT) AS m_latency_sum,
    CAST(COALESCE(COUNT_IF(NOT "response_time" IS NULL), 0) AS BIGINT) AS m_latency_count,
    CAST(COALESCE(COUNT_IF("is_success"), 0) AS BIGINT) AS m_successes,
    CAST(COALESCE(COUNT_IF(LOWER("cache_status") IN ('hit', 'semantic hit')), 0) AS BIGINT) AS m_cache_hits,
    CAST(COALESCE(COUNT_IF(NOT "cache_status" IS NULL AND NOT LOWER("cache_status") IN ('disabled', '')), 0) AS BIGINT) AS m_cache_lookups
  FROM "generations"
  WHERE
    (
      "created_at" >= CAST('2026-02-01 10:00:00.000' AS TIMESTAMP)
      AND "created_at" <= CAST('2026-02-28 23:59:59.999' AS TIMESTAMP)
    )
    AND "organisation_id" = 'org-1'
  GROUP BY
    k0
) AS groups
ORDER BY
  m_requests DESC,
  k0 ASC
LIMIT 50
