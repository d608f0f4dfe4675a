SELECT
  k0 AS c0,
  k1 AS c1,
  m_feedbacks AS c2,
  CAST(m_weighted_sum AS DOUBLE) / NULLIF(CAST(m_weighted_count AS DOUBLE), 0) AS c3
FROM (
  SELECT
    k0 AS k0,
    k1 AS k1,
    CAST(COALESCE(SUM("feedbacks"), 0) AS BIGINT) AS m_feedbacks,
    SUM(CAST("weighted_sum" AS DOUBLE)) AS m_weighted_sum,
    CAST(COALESCE(SUM("weighted_count"), 0) AS BIGINT) AS m_weighted_count
  FROM (
    SELECT
      k0,
      k1,
      COUNT(*) AS "requests",
      MAX(rated_feedbacks) AS "feedbacks",
      MAX(rated_sum) AS "weighted_sum",
      MAX(rated_count) AS "weighted_count"
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
          "created_at" >= CAST('2026-03-20 10:00:00.000' AS TIMESTAMP)
          AND "created_at" <= CAST('2026-04-02 12:00:00.000' AS TIMESTAMP)
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
