SELECT
  k0 AS c0,
  k1 AS c1,
  m_feedbacks AS c2,
  (toFloat64(m_weighted_sum) / nullIf(toFloat64(m_weighted_count), 0)) AS c3
FROM (
  SELECT
    k0 AS k0,
    k1 AS k1,
    toInt64(ifNull(sum("feedbacks"), 0)) AS m_feedbacks,
    toFloat64(sumOrNull("weighted_sum")) AS m_weighted_sum,
    toInt64(ifNull(sum("weighted_count"), 0)) AS m_weighted_count
  FROM (
    SELECT
      k0,
      k1,
      toInt64(count()) AS "requests",
      maxOrNull(rated_feedbacks) AS "feedbacks",
      maxOrNull(rated_sum) AS "weighted_sum",
      maxOrNull(rated_count) AS "weighted_count"
    FROM (
      SELECT
        1 AS k0,
        COALESCE("ai_model", '') AS k1,
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
          "created_at" >= toDateTime64('2026-03-20 10:00:00.000', 3, 'UTC')
          AND "created_at" <= toDateTime64('2026-04-02 12:00:00.000', 3, 'UTC')
        )
        AND "organisation_id" = 'org-1'
    ) AS keyed
    GROUP BY
      GROUPING SETS (
        (k0, k1, rated_trace),
        (rated_trace)
      )
  ) AS traces
  GROUP BY
    k0,
    k1
) AS groups
ORDER BY
  k0 ASC,
  k1 ASC
