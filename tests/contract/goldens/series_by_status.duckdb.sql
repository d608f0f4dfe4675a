SELECT
  k0 AS c0,
  k1 AS c1,
  m_error_count AS c2
FROM (
  SELECT
    k0,
    k1,
    CAST(COALESCE(SUM(m_error_count), 0) AS BIGINT) AS m_error_count
  FROM (
    SELECT
      CAST((
        EPOCH_US(CAST("created_at" AS TIMESTAMP)) - EPOCH_US(CAST('2026-03-20 00:00:00.000' AS TIMESTAMP))
      ) // 86400000000 AS BIGINT) + 1 AS k0,
      "response_status_code" AS k1,
      CAST(COALESCE(COUNT_IF(NOT "is_success"), 0) AS BIGINT) AS m_error_count
    FROM "generations"
    WHERE
      (
        "created_at" >= CAST('2026-03-20 10:00:00.000' AS TIMESTAMP)
        AND "created_at" <= CAST('2026-04-02 12:00:00.000' AS TIMESTAMP)
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
