SELECT
  k0 AS c0,
  (toFloat64(m_weighted_sum) / nullIf(toFloat64(m_weighted_count), 0)) AS c1
FROM (
  SELECT
    k0,
    toFloat64(sumOrNull(m_weighted_sum)) AS m_weighted_sum,
    toInt64(ifNull(sum(m_weighted_count), 0)) AS m_weighted_count
  FROM (
    SELECT
      toInt64(
        intDiv(
          toUnixTimestamp64Milli(toDateTime64("created_at", 3, 'UTC')) - toUnixTimestamp64Milli(toDateTime64(toDateTime64('2026-03-16 00:00:00.000', 3, 'UTC'), 3, 'UTC')),
          604800000
        )
      ) + 1 AS k0,
      toFloat64(sumOrNull("weighted")) AS m_weighted_sum,
      toInt64(countIf((NOT ("weighted" IS NULL)) <> 0)) AS m_weighted_count
    FROM "feedbacks"
    WHERE
      (
        "created_at" >= toDateTime64('2026-03-20 10:00:00.000', 3, 'UTC')
        AND "created_at" <= toDateTime64('2026-04-02 12:00:00.000', 3, 'UTC')
      )
      AND "organisation_id" = 'org-1'
      AND "trace_id" IN (
        SELECT
          "trace_id"
        FROM "generations"
        WHERE
          "organisation_id" = 'org-1'
          AND "trace_id" <> ''
          AND "cost" >= CAST('1.000000000000' AS Nullable(Decimal(38, 12)))
      )
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
LIMIT 4
