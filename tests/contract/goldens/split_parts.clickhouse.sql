SELECT
  m_cost AS c0,
  (toFloat64(m_error_count * 100) / nullIf(toFloat64(m_requests), 0)) AS c1,
  m_cache_hits AS c2,
  (toFloat64(m_total_tokens) / nullIf(toFloat64(m_requests), 0)) AS c3,
  m_p95_latency AS c4,
  m_users AS c5,
  m_feedbacks AS c6,
  m_unpriced_requests AS c7,
  COUNT(*) OVER () AS total
FROM (
  SELECT
    toInt64(ifNull(sum(m_requests), 0)) AS m_requests,
    CAST(sumOrNull(m_cost) AS Nullable(Decimal(38, 12))) AS m_cost,
    toInt64(ifNull(sum(m_error_count), 0)) AS m_error_count,
    toInt64(ifNull(sum(m_cache_hits), 0)) AS m_cache_hits,
    toInt64(ifNull(sum(m_total_tokens), 0)) AS m_total_tokens,
    maxOrNull(m_p95_latency) AS m_p95_latency,
    maxOrNull(m_users) AS m_users,
    toInt64(ifNull(sum(m_feedbacks), 0)) AS m_feedbacks,
    toInt64(ifNull(sum(m_unpriced_requests), 0)) AS m_unpriced_requests
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
        "hour" >= toDateTime64('2026-02-01 10:00:00.000', 3, 'UTC')
        AND "hour" <= toDateTime64('2026-02-27 23:59:59.999', 3, 'UTC')
      )
      AND "organisation_id" = 'org-1'
    UNION ALL
    SELECT
      toInt64(count()) AS m_requests,
      CAST(sumOrNull("cost") AS Nullable(Decimal(38, 12))) AS m_cost,
      toInt64(countIf((NOT "is_success") <> 0)) AS m_error_count,
      toInt64(countIf((lowerUTF8("cache_status") IN ('hit', 'semantic hit')) <> 0)) AS m_cache_hits,
      toInt64(ifNull(sum("total_units"), 0)) AS m_total_tokens,
      NULL AS m_p95_latency,
      NULL AS m_users,
      NULL AS m_feedbacks,
      toInt64(countIf(("cost" IS NULL) <> 0)) AS m_unpriced_requests
    FROM "generations"
    WHERE
      (
        "created_at" >= toDateTime64('2026-02-28 00:00:00.000', 3, 'UTC')
        AND "created_at" <= toDateTime64('2026-02-28 23:59:59.999', 3, 'UTC')
      )
      AND "organisation_id" = 'org-1'
    UNION ALL
    SELECT
      NULL AS m_requests,
      NULL AS m_cost,
      NULL AS m_error_count,
      NULL AS m_cache_hits,
      NULL AS m_total_tokens,
      quantileExactInclusiveOrNull(0.95)("response_time") AS m_p95_latency,
      toInt64(uniqExact(nullIf("_user", ''))) AS m_users,
      NULL AS m_feedbacks,
      NULL AS m_unpriced_requests
    FROM "generations"
    WHERE
      (
        "created_at" >= toDateTime64('2026-02-01 10:00:00.000', 3, 'UTC')
        AND "created_at" <= toDateTime64('2026-02-28 23:59:59.999', 3, 'UTC')
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
      toInt64(ifNull(sum("feedbacks"), 0)) AS m_feedbacks,
      NULL AS m_unpriced_requests
    FROM (
      SELECT
        toInt64(count()) AS "requests",
        maxOrNull(rated_feedbacks) AS "feedbacks",
        maxOrNull(rated_sum) AS "weighted_sum",
        maxOrNull(rated_count) AS "weighted_count"
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
        rated_trace
    ) AS traces
  ) AS partials
) AS groups
ORDER BY
  m_requests DESC
LIMIT 50
