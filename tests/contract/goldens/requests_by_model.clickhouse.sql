SELECT
  k0 AS c0,
  m_requests AS c1,
  COUNT(*) OVER () AS total
FROM (
  SELECT
    COALESCE("ai_model", '') AS k0,
    toInt64(count()) AS m_requests
  FROM "generations"
  WHERE
    (
      "created_at" >= toDateTime64('2026-02-01 10:00:00.000', 3, 'UTC')
      AND "created_at" <= toDateTime64('2026-02-28 23:59:59.999', 3, 'UTC')
    )
    AND "organisation_id" = 'org-1'
  GROUP BY
    k0
) AS groups
ORDER BY
  m_requests DESC,
  k0 ASC
LIMIT 50
