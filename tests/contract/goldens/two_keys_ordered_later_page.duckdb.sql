SELECT
  *
FROM (
  SELECT
    k0 AS c0,
    k1 AS c1,
    m_cost AS c2,
    CAST(m_successes * 100 AS DOUBLE) / NULLIF(CAST(m_requests AS DOUBLE), 0) AS c3,
    m_unpriced_requests AS c4,
    COUNT(*) OVER () AS total,
    ROW_NUMBER() OVER (
      ORDER BY CAST(m_successes * 100 AS DOUBLE) / NULLIF(CAST(m_requests AS DOUBLE), 0) ASC, k1 DESC, k0 ASC
    ) AS rank
  FROM (
    SELECT
      "response_status_code" AS k0,
      COALESCE(LIST_EXTRACT("metadata.value", LIST_POSITION("metadata.key", 'team')), '') AS k1,
      COUNT(*) AS m_requests,
      CAST(SUM("cost") AS DECIMAL(38, 12)) AS m_cost,
      CAST(COALESCE(COUNT_IF("is_success"), 0) AS BIGINT) AS m_successes,
      CAST(COALESCE(COUNT_IF("cost" IS NULL), 0) AS BIGINT) AS m_unpriced_requests
    FROM "generations"
    WHERE
      (
        "created_at" >= CAST('2026-02-01 10:00:00.000' AS TIMESTAMP)
        AND "created_at" <= CAST('2026-02-28 23:59:59.999' AS TIMESTAMP)
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
