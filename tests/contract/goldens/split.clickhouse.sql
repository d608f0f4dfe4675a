SELECT
  k0 AS c0,
  m_cost AS c1,
  (toFloat64(m_latency_sum) / nullIf(toFloat64(m_latency_count), 0)) AS c2,
  m_last_seen AS c3,
  m_unpriced_requests AS c4,
  COUNT(*) OVER () AS total
FROM (
  SELECT
    k0,
    toInt64(ifNull(sum(m_requests), 0)) AS m_requests,
    CAST(sumOrNull(m_cost) AS Nullable(Decimal(38, 12))) AS m_cost,
    toInt64(ifNull(sum(m_latency_sum), 0)) AS m_latency_sum,
    toInt64(ifNull(sum(m_latency_count), 0)) AS m_latency_count,
    maxOrNull(m_last_seen) AS m_last_seen,
    toInt64(ifNull(sum(m_unpriced_requests), 0)) AS m_unpriced_requests
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
        "day" BETWEEN toDate(toDateTime64('2026-02-02 00:00:00.000', 3, 'UTC'), 'UTC') AND toDate(toDateTime64('2026-02-09 23:59:59.999', 3, 'UTC'), 'UTC')
        OR "day" BETWEEN toDate(toDateTime64('2026-02-11 00:00:00.000', 3, 'UTC'), 'UTC') AND toDate(toDateTime64('2026-02-28 23:59:59.999', 3, 'UTC'), 'UTC')
      )
      AND "organisation_id" = 'org-1'
    UNION ALL
    SELECT
      COALESCE("ai_model", '') AS k0,
      toInt64(count()) AS m_requests,
      CAST(sumOrNull("cost") AS Nullable(Decimal(38, 12))) AS m_cost,
      toInt64(ifNull(sum("response_time"), 0)) AS m_latency_sum,
      toInt64(countIf((NOT ("response_time" IS NULL)) <> 0)) AS m_latency_count,
      maxOrNull("created_at") AS m_last_seen,
      toInt64(countIf(("cost" IS NULL) <> 0)) AS m_unpriced_requests
    FROM "generations"
    WHERE
      (
        (
          "created_at" >= toDateTime64('2026-02-01 10:00:00.000', 3, 'UTC')
          AND "created_at" <= toDateTime64('2026-02-01 23:59:59.999', 3, 'UTC')
        )
        OR (
          "created_at" >= toDateTime64('2026-02-10 00:00:00.000', 3, 'UTC')
          AND "created_at" <= toDateTime64('2026-02-10 23:59:59.999', 3, 'UTC')
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
