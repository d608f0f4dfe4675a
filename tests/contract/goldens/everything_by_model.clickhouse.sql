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
  (toFloat64(m_total_tokens) / nullIf(toFloat64(m_requests), 0)) AS c31,
  (toFloat64(m_input_units) / nullIf(toFloat64(m_requests), 0)) AS c32,
  (toFloat64(m_output_units) / nullIf(toFloat64(m_requests), 0)) AS c33,
  (toFloat64(m_cost) / nullIf(toFloat64(m_requests), 0)) AS c34,
  (toFloat64(m_latency_sum) / nullIf(toFloat64(m_latency_count), 0)) AS c35,
  (toFloat64(m_hit_latency_sum) / nullIf(toFloat64(m_hit_latency_count), 0)) AS c36,
  (toFloat64(m_miss_latency_sum) / nullIf(toFloat64(m_miss_latency_count), 0)) AS c37,
  (toFloat64(m_error_count * 100) / nullIf(toFloat64(m_requests), 0)) AS c38,
  (toFloat64(m_user_requests) / nullIf(toFloat64(m_users), 0)) AS c39,
  (toFloat64(m_weighted_sum) / nullIf(toFloat64(m_weighted_count), 0)) AS c40,
  (toFloat64(m_successes * 100) / nullIf(toFloat64(m_requests), 0)) AS c41,
  (toFloat64(m_cache_hits * 100) / nullIf(toFloat64(m_cache_lookups), 0)) AS c42,
  COUNT(*) OVER () AS total
FROM (
  SELECT
    k0,
    toInt64(ifNull(sum(m_requests), 0)) AS m_requests,
    CAST(sumOrNull(m_cost) AS Nullable(Decimal(38, 12))) AS m_cost,
    toInt64(ifNull(sum(m_unpriced_requests), 0)) AS m_unpriced_requests,
    toInt64(ifNull(sum(m_priced_requests), 0)) AS m_priced_requests,
    toInt64(ifNull(sum(m_unpriced_tokens), 0)) AS m_unpriced_tokens,
    CAST(sumOrNull(m_cost_low) AS Nullable(Decimal(38, 12))) AS m_cost_low,
    CAST(sumOrNull(m_cost_high) AS Nullable(Decimal(38, 12))) AS m_cost_high,
    toInt64(ifNull(sum(m_unbounded_requests), 0)) AS m_unbounded_requests,
    toInt64(ifNull(sum(m_total_tokens), 0)) AS m_total_tokens,
    toInt64(ifNull(sum(m_error_count), 0)) AS m_error_count,
    toInt64(ifNull(sum(m_cache_hits), 0)) AS m_cache_hits,
    toInt64(ifNull(sum(m_simple_hits), 0)) AS m_simple_hits,
    toInt64(ifNull(sum(m_semantic_hits), 0)) AS m_semantic_hits,
    CAST(sumOrNull(m_simple_cache_savings) AS Nullable(Decimal(38, 12))) AS m_simple_cache_savings,
    CAST(sumOrNull(m_semantic_cache_savings) AS Nullable(Decimal(38, 12))) AS m_semantic_cache_savings,
    toInt64(ifNull(sum(m_unpriced_hits), 0)) AS m_unpriced_hits,
    toInt64(ifNull(sum(m_rescued_by_retry), 0)) AS m_rescued_by_retry,
    toInt64(ifNull(sum(m_rescued_by_fallback), 0)) AS m_rescued_by_fallback,
    toInt64(ifNull(sum(m_user_requests), 0)) AS m_user_requests,
    maxOrNull(m_users) AS m_users,
    maxOrNull(m_error_codes) AS m_error_codes,
    maxOrNull(m_only_provider) AS m_only_provider,
    maxOrNull(m_p50_latency) AS m_p50_latency,
    maxOrNull(m_p90_latency) AS m_p90_latency,
    maxOrNull(m_p95_latency) AS m_p95_latency,
    maxOrNull(m_p99_latency) AS m_p99_latency,
    maxOrNull(m_last_seen) AS m_last_seen,
    minOrNull(m_first_seen) AS m_first_seen,
    toInt64(ifNull(sum(m_feedbacks), 0)) AS m_feedbacks,
    toInt64(ifNull(sum(m_requests_with_feedback), 0)) AS m_requests_with_feedback,
    toInt64(ifNull(sum(m_input_units), 0)) AS m_input_units,
    toInt64(ifNull(sum(m_output_units), 0)) AS m_output_units,
    toInt64(ifNull(sum(m_latency_sum), 0)) AS m_latency_sum,
    toInt64(ifNull(sum(m_latency_count), 0)) AS m_latency_count,
    toInt64(ifNull(sum(m_hit_latency_sum), 0)) AS m_hit_latency_sum,
    toInt64(ifNull(sum(m_hit_latency_count), 0)) AS m_hit_latency_count,
    toInt64(ifNull(sum(m_miss_latency_sum), 0)) AS m_miss_latency_sum,
    toInt64(ifNull(sum(m_miss_latency_count), 0)) AS m_miss_latency_count,
    toFloat64(sumOrNull(m_weighted_sum)) AS m_weighted_sum,
    toInt64(ifNull(sum(m_weighted_count), 0)) AS m_weighted_count,
    toInt64(ifNull(sum(m_successes), 0)) AS m_successes,
    toInt64(ifNull(sum(m_cache_lookups), 0)) AS m_cache_lookups
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
      toInt64(ifNull(sum("feedbacks"), 0)) AS m_feedbacks,
      toInt64(ifNull(sum("requests"), 0)) AS m_requests_with_feedback,
      NULL AS m_input_units,
      NULL AS m_output_units,
      NULL AS m_latency_sum,
      NULL AS m_latency_count,
      NULL AS m_hit_latency_sum,
      NULL AS m_hit_latency_count,
      NULL AS m_miss_latency_sum,
      NULL AS m_miss_latency_count,
      toFloat64(sumOrNull("weighted_sum")) AS m_weighted_sum,
      toInt64(ifNull(sum("weighted_count"), 0)) AS m_weighted_count,
      NULL AS m_successes,
      NULL AS m_cache_lookups
    FROM (
      SELECT
        k0,
        toInt64(count()) AS "requests",
        maxOrNull(rated_feedbacks) AS "feedbacks",
        maxOrNull(rated_sum) AS "weighted_sum",
        maxOrNull(rated_count) AS "weighted_count"
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
            toInt64(count()) AS rated_feedbacks,
            toFloat64(sumOrNull("weighted")) AS rated_sum,
            toInt64(countIf((
              NOT (
                "weighted" IS NULL
              )
            ) <> 0)) AS rated_count
          FROM "feedbacks"
          WHERE
            "organisation_id" = 'org-1' AND "trace_id" <> ''
          GROUP BY
            rated_trace
        ) AS ratings
          ON "trace_id" = rated_trace
        WHERE
          (
            "created_at" >= toDateTime64('2026-02-01 10:00:00.000', 3, 'UTC')
            AND "created_at" <= toDateTime64('2026-02-28 23:59:59.999', 3, 'UTC')
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
      toInt64(count()) AS m_requests,
      CAST(sumOrNull("cost") AS Nullable(Decimal(38, 12))) AS m_cost,
      toInt64(countIf(("cost" IS NULL) <> 0)) AS m_unpriced_requests,
      toInt64(countIf((NOT ("cost" IS NULL)) <> 0)) AS m_priced_requests,
      toInt64(ifNull(sum(CASE WHEN "cost" IS NULL THEN "total_units" ELSE 0 END), 0)) AS m_unpriced_tokens,
      CAST(sumOrNull(COALESCE("cost_low", "cost")) AS Nullable(Decimal(38, 12))) AS m_cost_low,
      CAST(sumOrNull(COALESCE("cost_high", "cost")) AS Nullable(Decimal(38, 12))) AS m_cost_high,
      toInt64(countIf((COALESCE("cost_high", "cost") IS NULL) <> 0)) AS m_unbounded_requests,
      toInt64(ifNull(sum("total_units"), 0)) AS m_total_tokens,
      toInt64(countIf((NOT "is_success") <> 0)) AS m_error_count,
      toInt64(countIf((lowerUTF8("cache_status") IN ('hit', 'semantic hit')) <> 0)) AS m_cache_hits,
      toInt64(countIf((lowerUTF8("cache_status") = 'hit') <> 0)) AS m_simple_hits,
      toInt64(countIf((lowerUTF8("cache_status") = 'semantic hit') <> 0)) AS m_semantic_hits,
      CAST(sumOrNull(CASE WHEN lowerUTF8("cache_status") = 'hit' THEN "cache_saved_cost" END) AS Nullable(Decimal(38, 12))) AS m_simple_cache_savings,
      CAST(sumOrNull(CASE WHEN lowerUTF8("cache_status") = 'semantic hit' THEN "cache_saved_cost" END) AS Nullable(Decimal(38, 12))) AS m_semantic_cache_savings,
      toInt64(countIf((lowerUTF8("cache_status") IN ('hit', 'semantic hit') AND "cache_saved_cost" IS NULL) <> 0)) AS m_unpriced_hits,
      toInt64(countIf(("is_success" AND "retry_success_count" > 0) <> 0)) AS m_rescued_by_retry,
      toInt64(countIf(("is_success" AND lowerUTF8("mode") = 'fallback' AND "last_used_option_index" > 0) <> 0)) AS m_rescued_by_fallback,
      toInt64(countIf(("_user" <> '') <> 0)) AS m_user_requests,
      toInt64(uniqExact(nullIf("_user", ''))) AS m_users,
      toInt64(uniqExact(CASE WHEN NOT "is_success" THEN "response_status_code" END)) AS m_error_codes,
      CASE WHEN minOrNull("ai_org") = maxOrNull("ai_org") THEN minOrNull("ai_org") END AS m_only_provider,
      quantileExactInclusiveOrNull(0.5)("response_time") AS m_p50_latency,
      quantileExactInclusiveOrNull(0.9)("response_time") AS m_p90_latency,
      quantileExactInclusiveOrNull(0.95)("response_time") AS m_p95_latency,
      quantileExactInclusiveOrNull(0.99)("response_time") AS m_p99_latency,
      maxOrNull("created_at") AS m_last_seen,
      minOrNull("created_at") AS m_first_seen,
      NULL AS m_feedbacks,
      NULL AS m_requests_with_feedback,
      toInt64(ifNull(sum("req_units"), 0)) AS m_input_units,
      toInt64(ifNull(sum("res_units"), 0)) AS m_output_units,
      toInt64(ifNull(sum("response_time"), 0)) AS m_latency_sum,
      toInt64(countIf((NOT ("response_time" IS NULL)) <> 0)) AS m_latency_count,
      toInt64(ifNull(sum(CASE WHEN lowerUTF8("cache_status") IN ('hit', 'semantic hit') THEN "response_time" END), 0)) AS m_hit_latency_sum,
      toInt64(countIf((lowerUTF8("cache_status") IN ('hit', 'semantic hit') AND NOT ("response_time" IS NULL)) <> 0)) AS m_hit_latency_count,
      toInt64(ifNull(sum(CASE WHEN NOT COALESCE(lowerUTF8("cache_status") IN ('hit', 'semantic hit'), FALSE) THEN "response_time" END), 0)) AS m_miss_latency_sum,
      toInt64(countIf((NOT COALESCE(lowerUTF8("cache_status") IN ('hit', 'semantic hit'), FALSE) AND NOT ("response_time" IS NULL)) <> 0)) AS m_miss_latency_count,
      NULL AS m_weighted_sum,
      NULL AS m_weighted_count,
      toInt64(countIf(("is_success") <> 0)) AS m_successes,
      toInt64(countIf((NOT ("cache_status" IS NULL) AND NOT (lowerUTF8("cache_status") IN ('disabled', ''))) <> 0)) AS m_cache_lookups
    FROM "generations"
    WHERE
      (
        "created_at" >= toDateTime64('2026-02-01 10:00:00.000', 3, 'UTC')
        AND "created_at" <= toDateTime64('2026-02-28 23:59:59.999', 3, 'UTC')
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
