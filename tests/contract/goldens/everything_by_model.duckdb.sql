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
  m_cache_hits AS c11,
  m_simple_hits AS c12,
  m_semantic_hits AS c13,
  m_simple_cache_savings AS c14,
  m_semantic_cache_savings AS c15,
  m_unpriced_hits AS c16,
  m_rescued_by_retry AS c17,
  m_rescued_by_fallback AS c18,
  m_user_requests AS c19,
  m_users AS c20,
  m_error_codes AS c21,
  m_only_provider AS c22,
  m_p50_latency AS c23,
  m_p90_latency AS c24,
  m_p95_latency AS c25,
  m_p99_latency AS c26,
  m_last_seen AS c27,
  m_first_seen AS c28,
  m_feedbacks AS c29,
  m_requests_with_feedback AS c30,
  CAST(m_total_tokens AS DOUBLE) / NULLIF(CAST(m_requests AS DOUBLE), 0) AS c31,
  CAST(m_input_units AS DOUBLE) / NULLIF(CAST(m_requests AS DOUBLE), 0) AS c32,
  CAST(m_output_units AS DOUBLE) / NULLIF(CAST(m_requests AS DOUBLE), 0) AS c33,
  CAST(m_cost AS DOUBLE) / NULLIF(CAST(m_requests AS DOUBLE), 0) AS c34,
  CAST(m_latency_sum AS DOUBLE) / NULLIF(CAST(m_latency_count AS DOUBLE), 0) AS c35,
  CAST(m_hit_latency_sum AS DOUBLE) / NULLIF(CAST(m_hit_latency_count AS DOUBLE), 0) AS c36,
  CAST(m_miss_latency_sum AS DOUBLE) / NULLIF(CAST(m_miss_latency_count AS DOUBLE), 0) AS c37,
  CAST(m_error_count * 100 AS DOUBLE) / NULLIF(CAST(m_requests AS DOUBLE), 0) AS c38,
  CAST(m_user_requests AS DOUBLE) / NULLIF(CAST(m_users AS DOUBLE), 0) AS c39,
  CAST(m_weighted_sum AS DOUBLE) / NULLIF(CAST(m_weighted_count AS DOUBLE), 0) AS c40,
  CAST(m_successes * 100 AS DOUBLE) / NULLIF(CAST(m_requests AS DOUBLE), 0) AS c41,
  CAST(m_cache_hits * 100 AS DOUBLE) / NULLIF(CAST(m_cache_lookups AS DOUBLE), 0) AS c42,
  COUNT(*) OVER () AS total
FROM (
  SELECT
    k0,
    CAST(COALESCE(SUM(m_requests), 0) AS BIGINT) AS m_requests,
    CAST(SUM(m_cost) AS DECIMAL(38, 12)) AS m_cost,
    CAST(COALESCE(SUM(m_unpriced_requests), 0) AS BIGINT) AS m_unpriced_requests,
    CAST(COALESCE(SUM(m_priced_requests), 0) AS BIGINT) AS m_priced_requests,
    CAST(COALESCE(SUM(m_unpriced_tokens), 0) AS BIGINT) AS m_unpriced_tokens,
    CAST(SUM(m_cost_low) AS DECIMAL(38, 12)) AS m_cost_low,
    CAST(SUM(m_cost_high) AS DECIMAL(38, 12)) AS m_cost_high,
    CAST(COALESCE(SUM(m_unbounded_requests), 0) AS BIGINT) AS m_unbounded_requests,
    CAST(COALESCE(SUM(m_total_tokens), 0) AS BIGINT) AS m_total_tokens,
    CAST(COALESCE(SUM(m_error_count), 0) AS BIGINT) AS m_error_count,
    CAST(COALESCE(SUM(m_cache_hits), 0) AS BIGINT) AS m_cache_hits,
    CAST(COALESCE(SUM(m_simple_hits), 0) AS BIGINT) AS m_simple_hits,
    CAST(COALESCE(SUM(m_semantic_hits), 0) AS BIGINT) AS m_semantic_hits,
    CAST(SUM(m_simple_cache_savings) AS DECIMAL(38, 12)) AS m_simple_cache_savings,
    CAST(SUM(m_semantic_cache_savings) AS DECIMAL(38, 12)) AS m_semantic_cache_savings,
    CAST(COALESCE(SUM(m_unpriced_hits), 0) AS BIGINT) AS m_unpriced_hits,
    CAST(COALESCE(SUM(m_rescued_by_retry), 0) AS BIGINT) AS m_rescued_by_retry,
    CAST(COALESCE(SUM(m_rescued_by_fallback), 0) AS BIGINT) AS m_rescued_by_fallback,
    CAST(COALESCE(SUM(m_user_requests), 0) AS BIGINT) AS m_user_requests,
    MAX(m_users) AS m_users,
    MAX(m_error_codes) AS m_error_codes,
    MAX(m_only_provider) AS m_only_provider,
    MAX(m_p50_latency) AS m_p50_latency,
    MAX(m_p90_latency) AS m_p90_latency,
    MAX(m_p95_latency) AS m_p95_latency,
    MAX(m_p99_latency) AS m_p99_latency,
    MAX(m_last_seen) AS m_last_seen,
    MIN(m_first_seen) AS m_first_seen,
    CAST(COALESCE(SUM(m_feedbacks), 0) AS BIGINT) AS m_feedbacks,
    CAST(COALESCE(SUM(m_requests_with_feedback), 0) AS BIGINT) AS m_requests_with_feedback,
    CAST(COALESCE(SUM(m_input_units), 0) AS BIGINT) AS m_input_units,
    CAST(COALESCE(SUM(m_output_units), 0) AS BIGINT) AS m_output_units,
    CAST(COALESCE(SUM(m_latency_sum), 0) AS BIGINT) AS m_latency_sum,
    CAST(COALESCE(SUM(m_latency_count), 0) AS BIGINT) AS m_latency_count,
    CAST(COALESCE(SUM(m_hit_latency_sum), 0) AS BIGINT) AS m_hit_latency_sum,
    CAST(COALESCE(SUM(m_hit_latency_count), 0) AS BIGINT) AS m_hit_latency_count,
    CAST(COALESCE(SUM(m_miss_latency_sum), 0) AS BIGINT) AS m_miss_latency_sum,
    CAST(COALESCE(SUM(m_miss_latency_count), 0) AS BIGINT) AS m_miss_latency_count,
    SUM(CAST(m_weighted_sum AS DOUBLE)) AS m_weighted_sum,
    CAST(COALESCE(SUM(m_weighted_count), 0) AS BIGINT) AS m_weighted_count,
    CAST(COALESCE(SUM(m_successes), 0) AS BIGINT) AS m_successes,
    CAST(COALESCE(SUM(m_cache_lookups), 0) AS BIGINT) AS m_cache_lookups
  FROM (
    SELECT
      k0 AS k0,
      NULL AS m_requests,
      NULL AS m_cost,
      NULL AS m_unpriced_requests,
      NULL AS m_priced_requests,
      NULL AS m_unpriced_tokens,
      NULL AS m_cost_low,
      NULL AS m_cost_high,
      NULL AS m_unbounded_requests,
      NULL AS m_total_tokens,
      NULL AS m_error_count,
      NULL AS m_cache_hits,
      NULL AS m_simple_hits,
      NULL AS m_semantic_hits,
      NULL AS m_simple_cache_savings,
      NULL AS m_semantic_cache_savings,
      NULL AS m_unpriced_hits,
      NULL AS m_rescued_by_retry,
      NULL AS m_rescued_by_fallback,
      NULL AS m_user_requests,
      NULL AS m_users,
      NULL AS m_error_codes,
      NULL AS m_only_provider,
      NULL AS m_p50_latency,
      NULL AS m_p90_latency,
      NULL AS m_p95_latency,
      NULL AS m_p99_latency,
      NULL AS m_last_seen,
      NULL AS m_first_seen,
      CAST(COALESCE(SUM("feedbacks"), 0) AS BIGINT) AS m_feedbacks,
      CAST(COALESCE(SUM("requests"), 0) AS BIGINT) AS m_requests_with_feedback,
      NULL AS m_input_units,
      NULL AS m_output_units,
      NULL AS m_latency_sum,
      NULL AS m_latency_count,
      NULL AS m_hit_latency_sum,
      NULL AS m_hit_latency_count,
      NULL AS m_miss_latency_sum,
      NULL AS m_miss_latency_count,
      SUM(CAST("weighted_sum" AS DOUBLE)) AS m_weighted_sum,
      CAST(COALESCE(SUM("weighted_count"), 0) AS BIGINT) AS m_weighted_count,
      NULL AS m_successes,
      NULL AS m_cache_lookups
    FROM (
      SELECT
        k0,
        COUNT(*) AS "requests",
        MAX(rated_feedbacks) AS "feedbacks",
        MAX(rated_sum) AS "weighted_sum",
        MAX(rated_count) AS "weighted_count"
      FROM (
        SELECT
          COALESCE("ai_model", '') AS k0,
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
        k0,
        rated_trace
    ) AS traces
    GROUP BY
      k0
    UNION ALL
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
      CAST(COALESCE(COUNT_IF(LOWER("cache_status") IN ('hit', 'semantic hit')), 0) AS BIGINT) AS m_cache_hits,
      CAST(COALESCE(COUNT_IF(LOWER("cache_status") = 'hit'), 0) AS BIGINT) AS m_simple_hits,
      CAST(COALESCE(COUNT_IF(LOWER("cache_status") = 'semantic hit'), 0) AS BIGINT) AS m_semantic_hits,
      CAST(SUM(CASE WHEN LOWER("cache_status") = 'hit' THEN "cache_saved_cost" END) AS DECIMAL(38, 12)) AS m_simple_cache_savings,
      CAST(SUM(CASE WHEN LOWER("cache_status") = 'semantic hit' THEN "cache_saved_cost" END) AS DECIMAL(38, 12)) AS m_semantic_cache_savings,
      CAST(COALESCE(COUNT_IF(LOWER("cache_status") IN ('hit', 'semantic hit') AND "cache_saved_cost" IS NULL), 0) AS BIGINT) AS m_unpriced_hits,
      CAST(COALESCE(COUNT_IF("is_success" AND "retry_success_count" > 0), 0) AS BIGINT) AS m_rescued_by_retry,
      CAST(COALESCE(COUNT_IF("is_success" AND LOWER("mode") = 'fallback' AND "last_used_option_index" > 0), 0) AS BIGINT) AS m_rescued_by_fallback,
      CAST(COALESCE(COUNT_IF("_user" <> ''), 0) AS BIGINT) AS m_user_requests,
      COUNT(DISTINCT NULLIF("_user", '')) AS m_users,
      COUNT(DISTINCT CASE WHEN NOT "is_success" THEN "response_status_code" END) AS m_error_codes,
      CASE WHEN MIN("ai_org") = MAX("ai_org") THEN MIN("ai_org") END AS m_only_provider,
      CAST(LIST_EXTRACT(QUANTILE_CONT("response_time", [0.5, 0.9, 0.95, 0.99]), 1) AS DOUBLE) AS m_p50_latency,
      CAST(LIST_EXTRACT(QUANTILE_CONT("response_time", [0.5, 0.9, 0.95, 0.99]), 2) AS DOUBLE) AS m_p90_latency,
      CAST(LIST_EXTRACT(QUANTILE_CONT("response_time", [0.5, 0.9, 0.95, 0.99]), 3) AS DOUBLE) AS m_p95_latency,
      CAST(LIST_EXTRACT(QUANTILE_CONT("response_time", [0.5, 0.9, 0.95, 0.99]), 4) AS DOUBLE) AS m_p99_latency,
      MAX("created_at") AS m_last_seen,
      MIN("created_at") AS m_first_seen,
      NULL AS m_feedbacks,
      NULL AS m_requests_with_feedback,
      CAST(COALESCE(SUM("req_units"), 0) AS BIGINT) AS m_input_units,
      CAST(COALESCE(SUM("res_units"), 0) AS BIGINT) AS m_output_units,
      CAST(COALESCE(SUM("response_time"), 0) AS BIGINT) AS m_latency_sum,
      CAST(COALESCE(COUNT_IF(NOT "response_time" IS NULL), 0) AS BIGINT) AS m_latency_count,
      CAST(COALESCE(SUM(CASE WHEN LOWER("cache_status") IN ('hit', 'semantic hit') THEN "response_time" END), 0) AS BIGINT) AS m_hit_latency_sum,
      CAST(COALESCE(COUNT_IF(LOWER("cache_status") IN ('hit', 'semantic hit') AND NOT "response_time" IS NULL), 0) AS BIGINT) AS m_hit_latency_count,
      CAST(COALESCE(SUM(CASE WHEN NOT COALESCE(LOWER("cache_status") IN ('hit', 'semantic hit'), FALSE) THEN "response_time" END), 0) AS BIGINT) AS m_miss_latency_sum,
      CAST(COALESCE(COUNT_IF(NOT COALESCE(LOWER("cache_status") IN ('hit', 'semantic hit'), FALSE) AND NOT "response_time" IS NULL), 0) AS BIGINT) AS m_miss_latency_count,
      NULL AS m_weighted_sum,
      NULL AS m_weighted_count,
      CAST(COALESCE(COUNT_IF("is_success"), 0) AS BIGINT) AS m_successes,
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
  ) AS partials
  GROUP BY
    k0
) AS groups
ORDER BY
  m_requests DESC,
  k0 ASC
LIMIT 50
