SELECT
  k0 AS c0,
  m_requests AS c1,
  COUNT(*) OVER () AS total
FROM (
  SELECT
    COALESCE("prompt_slug", '') AS k0,
    COUNT(*) AS m_requests
  FROM "generations"
  WHERE
    (
      "created_at" >= CAST('2026-02-01 10:00:00.000' AS TIMESTAMP)
      AND "created_at" <= CAST('2026-02-28 23:59:59.999' AS TIMESTAMP)
    )
    AND FALSE
  GROUP BY
    k0
) AS groups
ORDER BY
  m_requests DESC,
  k0 ASC
LIMIT 50
