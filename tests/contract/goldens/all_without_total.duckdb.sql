SELECT
  k0 AS c0,
  m_cost AS c1,
  m_unpriced_requests AS c2
FROM (
  SELECT
    COALESCE("workspace_slug", '') AS k0,
    COUNT(*) AS m_requests,
    CAST(SUM("cost") AS DECIMAL(38, 12)) AS m_cost,
    CAST(COALESCE(COUNT_IF("cost" IS NULL), 0) AS BIGINT) AS m_unpriced_requests
  FROM "generations"
  WHERE
    (
      "created_at" >= CAST('2026-02-01 10:00:00.000' AS TIMESTAMP)
      AND "created_at" <= CAST('2026-02-28 23:59:59.999' AS TIMESTAMP)
    )
    AND "organisation_id" = 'org-1'
  GROUP BY
    k0
) AS groups
ORDER BY
  m_requests DESC,
  k0 ASC
