SELECT
  k0 AS c0,
  m_cost AS c1,
  CAST(m_error_count * 100 AS DOUBLE) / NULLIF(CAST(m_requests AS DOUBLE), 0) AS c2,
  m_unpriced_requests AS c3,
  COUNT(*) OVER () AS total
FROM (
  SELECT
    COALESCE("ai_model", '') AS k0,
    COUNT(*) AS m_requests,
    CAST(SUM("cost") AS DECIMAL(38, 12)) AS m_cost,
    CAST(COALESCE(COUNT_IF(NOT "is_success"), 0) AS BIGINT) AS m_error_count,
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
WHERE
  (
    (
      m_cost >= CAST('0.500000000000' AS DECIMAL(38, 12))
    )
    AND (
      m_requests > 10
    )
  )
  AND (
    CAST(m_error_count * 100 AS DOUBLE) / NULLIF(CAST(m_requests AS DOUBLE), 0) < CAST('5.0' AS DOUBLE)
  )
ORDER BY
  m_requests DESC,
  k0 ASC
LIMIT 50
