SELECT
  m_cost AS c0,
  m_users AS c1,
  m_unpriced_requests AS c2,
  COUNT(*) OVER () AS total
FROM (
  SELECT
    COUNT(*) AS m_requests,
    CAST(SUM("cost") AS DECIMAL(38, 12)) AS m_cost,
    COUNT(DISTINCT NULLIF("_user", '')) AS m_users,
    CAST(COALESCE(COUNT_IF("cost" IS NULL), 0) AS BIGINT) AS m_unpriced_requests
  FROM "generations"
  WHERE
    (
      "created_at" >= CAST('2026-02-01 10:00:00.000' AS TIMESTAMP)
      AND "created_at" <= CAST('2026-02-28 23:59:59.999' AS TIMESTAMP)
    )
    AND "organisation_id" = 'org-1'
    AND NOT (
      (
        COALESCE(COALESCE("ai_model", '') = 'gpt-4o', FALSE)
        AND COALESCE("response_status_code" = 200, FALSE)
      )
      OR (
        COALESCE(COALESCE("ai_model", '') = 'o''brien', FALSE)
        AND "response_status_code" IS NULL
      )
    )
) AS groups
ORDER BY
  m_requests DESC
LIMIT 50
