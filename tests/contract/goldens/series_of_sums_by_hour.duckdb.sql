SELECT
  k0 AS c0,
  m_requests AS c1,
  m_cost AS c2,
  m_unpriced_requests AS c3
FROM (
  SELECT
    k0,
    CAST(COALESCE(SUM(m_requests), 0) AS BIGINT) AS m_requests,
    CAST(SUM(m_cost) AS DECIMAL(38, 12)) AS m_cost,
    CAST(COALESCE(SUM(m_unpriced_requests), 0) AS BIGINT) AS m_unpriced_requests
  FROM (
    SELECT
      CAST((
        EPOCH_US(CAST("created_at" AS TIMESTAMP)) - EPOCH_US(CAST('2026-03-20 09:30:00.000' AS TIMESTAMP))
      ) // 3600000000 AS BIGINT) + 1 AS k0,
      COUNT(*) AS m_requests,
      CAST(SUM("cost") AS DECIMAL(38, 12)) AS m_cost,
      CAST(COALESCE(COUNT_IF("cost" IS NULL), 0) AS BIGINT) AS m_unpriced_requests
    FROM "generations"
    WHERE
      (
        "created_at" >= CAST('2026-03-20 10:00:00.000' AS TIMESTAMP)
        AND "created_at" <= CAST('2026-04-02 12:00:00.000' AS TIMESTAMP)
      )
      AND "organisation_id" = 'org-1'
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
LIMIT 316
