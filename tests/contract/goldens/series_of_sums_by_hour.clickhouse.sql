SELECT
  k0 AS c0,
  m_requests AS c1,
  m_cost AS c2,
  m_unpriced_requests AS c3
FROM (
  SELECT
    k0,
    toInt64(ifNull(sum(m_requests), 0)) AS m_requests,
    CAST(sumOrNull(m_cost) AS Nullable(Decimal(38, 12))) AS m_cost,
    toInt64(ifNull(sum(m_unpriced_requests), 0)) AS m_unpriced_requests
  FROM (
    SELECT
      toInt64(
        intDiv(
          toUnixTimestamp64Milli(toDateTime64("created_at", 3, 'UTC')) - toUnixTimestamp64Milli(toDateTime64(toDateTime64('2026-03-20 09:30:00.000', 3, 'UTC'), 3, 'UTC')),
          3600000
        )
      ) + 1 AS k0,
      toInt64(count()) AS m_requests,
      CAST(sumOrNull("cost") AS Nullable(Decimal(38, 12))) AS m_cost,
      toInt64(countIf(("cost" IS NULL) <> 0)) AS m_unpriced_requests
    FROM "generations"
    WHERE
      (
        "created_at" >= toDateTime64('2026-03-20 10:00:00.000', 3, 'UTC')
        AND "created_at" <= toDateTime64('2026-04-02 12:00:00.000', 3, 'UTC')
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
