SELECT
  k0 AS c0,
  k1 AS c1,
  m_error_count AS c2
FROM (
  SELECT
    k0,
    k1,
    toInt64(ifNull(sum(m_error_count), 0)) AS m_error_count
  FROM (
    SELECT
      toInt64(
        intDiv(
          toUnixTimestamp64Milli(toDateTime64("created_at", 3, 'UTC')) - toUnixTimestamp64Milli(toDateTime64(toDateTime64('2026-03-20 00:00:00.000', 3, 'UTC'), 3, 'UTC')),
          86400000
        )
      ) + 1 AS k0,
      "response_status_code" AS k1,
      toInt64(countIf((NOT "is_success") <> 0)) AS m_error_count
    FROM "generations"
    WHERE
      (
        "created_at" >= toDateTime64('2026-03-20 10:00:00.000', 3, 'UTC')
        AND "created_at" <= toDateTime64('2026-04-02 12:00:00.000', 3, 'UTC')
      )
      AND "organisation_id" = 'org-1'
    GROUP BY
      k0,
      k1
  ) AS partials
  GROUP BY
    GROUPING SETS (
      (k0, k1),
      ()
    )
) AS groups
ORDER BY
  k0 ASC,
  k1 ASC
