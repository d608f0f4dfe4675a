SELECT
  k0 AS c0,
  m_cost AS c1,
  m_requests_with_feedback AS c2,
  m_last_seen AS c3,
  m_unpriced_requests AS c4,
  COUNT(*) OVER () AS total
FROM (
  SELECT
    k0 AS k0,
    toInt64(ifNull(sum(m_requests), 0)) AS m_requests,
    CAST(sumOrNull(m_cost) AS Nullable(Decimal(38, 12))) AS m_cost,
    toInt64(ifNull(sum("requests"), 0)) AS m_requests_with_feedback,
    maxOrNull(m_last_seen) AS m_last_seen,
    toInt64(ifNull(sum(m_unpriced_requests), 0)) AS m_unpriced_requests
  FROM (
    SELECT
      k0 AS k0,
      toInt64(count()) AS m_requests,
      CAST(sumOrNull("cost") AS Nullable(Decimal(38, 12))) AS m_cost,
      maxOrNull("created_at") AS m_last_seen,
      toInt64(countIf(("cost" IS NULL) <> 0)) AS m_unpriced_requests,
      toInt64(countIf((
        NOT (
          rated_trace IS NULL
        )
      ) <> 0)) AS "requests",
      maxOrNull(rated_feedbacks) AS "feedbacks",
      maxOrNull(rated_sum) AS "weighted_sum",
      maxOrNull(rated_count) AS "weighted_count"
    FROM (
      SELECT
        arrayElement("metadata.value", indexOf("metadata.key", 'team')) AS k0,
        "created_at",
        "cost",
        rated_trace,
        rated_feedbacks,
        rated_sum,
        rated_count
      FROM "generations"
      LEFT JOIN (
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
) AS groups
ORDER BY
  m_requests DESC,
  k0 ASC
LIMIT 50
