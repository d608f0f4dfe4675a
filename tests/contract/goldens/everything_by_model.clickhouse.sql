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
  (toFloat64(m_total_tokens) / nullIf(toFloat64(m_requests), 0)) AS c15,
  (toFloat64(m_input_units) / nullIf(toFloat64(m_requests), 0)) AS c16,
  (toFloat64(m_output_units) / nullIf(toFloat64(m_requests), 0)) AS c17,
  (toFloat64(m_latency_sum) / nullIf(toFloat64(m_latency_count), 0)) AS c18,
  (toFloat64(m_successes * 100) / nullIf(toFloat64(m_requests), 0)) AS c19,
  (toFloat64(m_cache_hits * 100) / nullIf(toFloat64(m_cache_lookups), 0)) AS c20,
  COUNT(*) OVER () AS total
FROM (
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
    quantileExactInclusiveOrNull(0.95)("response_time") AS m_p95_latency,
    quantileExactInclusiveOrNull(0.99)("response_time") AS m_p99_latency,
    maxOrNull("created_at") AS m_last_seen,
    minOrNull("created_at") AS m_first_seen,
    toInt64(ifNull(sum("req_units"), 0)) AS m_input_units,
    toInt64(ifNull(sum("res_units"), 0)) AS m_output_units,
    toInt64(ifNull(sum("response_time"), 0)) AS m_latency_sum,
    toInt64(countIf((NOT ("response_time" IS NULL)) <> 0)) AS m_latency_count,
    toInt64(countIf(("is_success") <> 0)) AS m_successes,
    toInt64(countIf((lowerUTF8("cache_status") IN ('hit', 'semantic hit')) <> 0)) AS m_cache_hits,
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
) AS groups
ORDER BY
  m_requests DESC,
  k0 ASC
LIMIT 50
