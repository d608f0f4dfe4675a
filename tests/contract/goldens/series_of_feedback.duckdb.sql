SELECT
  k0 AS c0,
  CAST(m_weighted_sum AS DOUBLE) / NULLIF(CAST(m_weighted_count AS DOUBLE), 0) AS c1
FROM (
  SELECT
    k0,
    SUM(CAST(m_weighted_sum AS DOUBLE)) AS m_weighted_sum,
    CAST(COALESCE(SUM(m_weighted_count), 0) AS BIGINT) AS m_weighted_count
  FROM (
    SELECT
      CAST((
        EPOCH_US(CAST("created_at" AS TIMESTAMP)) - EPOCH_US(CAST('2026-03-16 00:00:00.000' AS TIMESTAMP))
      ) // 604800000000 AS BIGINT) + 1 AS k0,
      SUM(CAST("weighted" AS DOUBLE)) AS m_weighted_sum,
      CAST(COALESCE(COUNT_IF(NOT "weighted" IS NULL), 0) AS BIGINT) AS m_weighted_count
    FROM "feedbacks"
    WHERE
      (
        "created_at" >= CAST('2026-03-20 10:00:00.000' AS TIMESTAMP)
        AND "created_at" <= CAST('2026-04-02 12:00:00.000' AS TIMESTAMP)
      )
      AND "organisation_id" = 'org-1'
      AND "trace_id" IN (
        SELECT
          "trace_id"
        FROM "generations"
        WHERE
          "organisation_id" = 'org-1'
          AND "trace_id" <> ''
          AND "cost" >= CAST('1.000000000000' AS DECIMAL(38, 12))
      )
    GROUP BY
      k0
  ) AS partials
  GROUP BY
    GROUPING SETS (
      (k0),
      ()
    )
) AS groups
ORDER BY
  k0 ASC
LIMIT 4
