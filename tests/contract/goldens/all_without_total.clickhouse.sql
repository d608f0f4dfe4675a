SELECT
  k0 AS c0,
  m_cost AS c1,
  m_unpriced_requests AS c2
FROM (
  SELECT
    COALESCE("workspace_slug", '') AS k0,
    toInt64(count()) AS m_requests,
    CAST(sumOrNull("cost") AS Nullable(Decimal(38, 12))) AS m_cost,
    toInt64(countIf(("cost" IS NULL) <> 0)) AS m_unpriced_requests
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
