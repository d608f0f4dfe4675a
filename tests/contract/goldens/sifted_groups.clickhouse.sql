SELECT
  k0 AS c0,
  m_cost AS c1,
  (toFloat64(m_error_count * 100) / nullIf(toFloat64(m_requests), 0)) AS c2,
  m_unpriced_requests AS c3,
  COUNT(*) OVER () AS total
FROM (
  SELECT
    COALESCE("ai_model", '') AS k0,
    toInt64(count()) AS m_requests,
    CAST(sumOrNull("cost") AS Nullable(Decimal(38, 12))) AS m_cost,
    toInt64(countIf((NOT "is_success") <> 0)) AS m_error_count,
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
WHERE
  (
    (
      m_cost >= CAST('0.500000000000' AS Nullable(Decimal(38, 12)))
    )
    AND (
      m_requests > 10
    )
  )
  AND (
    (toFloat64(m_error_count * 100) / nullIf(toFloat64(m_requests), 0)) < CAST('5.0' AS Nullable(Float64))
  )
ORDER BY
  m_requests DESC,
  k0 ASC
LIMIT 50
