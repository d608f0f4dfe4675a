SELECT
  m_cost AS c0,
  m_users AS c1,
  m_unpriced_requests AS c2,
  COUNT(*) OVER () AS total
FROM (
  SELECT
    toInt64(count()) AS m_requests,
    CAST(sumOrNull("cost") AS Nullable(Decimal(38, 12))) AS m_cost,
    toInt64(uniqExact(nullIf("_user", ''))) AS m_users,
    toInt64(countIf(("cost" IS NULL) <> 0)) AS m_unpriced_requests
  FROM "generations"
  WHERE
    (
      "created_at" >= toDateTime64('2026-02-01 10:00:00.000', 3, 'UTC')
      AND "created_at" <= toDateTime64('2026-02-28 23:59:59.999', 3, 'UTC')
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
