SELECT
  *
FROM (
  SELECT
    k0 AS c0,
    k1 AS c1,
    m_cost AS c2,
    (toFloat64(m_successes * 100) / nullIf(toFloat64(m_requests), 0)) AS c3,
    m_unpriced_requests AS c4,
    COUNT(*) OVER () AS total,
    ROW_NUMBER() OVER (
      ORDER BY (toFloat64(m_successes * 100) / nullIf(toFloat64(m_requests), 0)) ASC, k1 DESC, k0 ASC
    ) AS rank
  FROM (
    SELECT
      "response_status_code" AS k0,
      arrayElement("metadata.value", indexOf("metadata.key", 'team')) AS k1,
      toInt64(count()) AS m_requests,
      CAST(sumOrNull("cost") AS Nullable(Decimal(38, 12))) AS m_cost,
      toInt64(countIf(("is_success") <> 0)) AS m_successes,
      toInt64(countIf(("cost" IS NULL) <> 0)) AS m_unpriced_requests
    FROM "generations"
    WHERE
      (
        "created_at" >= toDateTime64('2026-02-01 10:00:00.000', 3, 'UTC')
        AND "created_at" <= toDateTime64('2026-02-28 23:59:59.999', 3, 'UTC')
      )
      AND "organisation_id" = 'org-1'
    GROUP BY
      k0,
      k1
  ) AS groups
) AS ranked
WHERE
  rank = 1 OR (
    rank > 40 AND rank <= 60
  )
ORDER BY
  rank
