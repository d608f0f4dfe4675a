SELECT
  k0 AS c0,
  m_cost AS c1,
  m_feedbacks AS c2,
  m_unpriced_requests AS c3,
  COUNT(*) OVER () AS total
FROM (
  SELECT
    k0,
    CAST(COALESCE(SUM(m_requests), 0) AS BIGINT) AS m_requests,
    CAST(SUM(m_cost) AS DECIMAL(38, 12)) AS m_cost,
    CAST(COALESCE(SUM(m_feedbacks), 0) AS BIGINT) AS m_feedbacks,
    CAST(COALESCE(SUM(m_unpriced_requests), 0) AS BIGINT) AS m_unpriced_requests
  FROM (
    SELECT
      k0 AS k0,
      NULL AS m_requests,
      NULL AS m_cost,
      CAST(COALESCE(SUM("feedbacks"), 0) AS BIGINT) AS m_feedbacks,
      NULL AS m_unpriced_requests
    FROM (
      SELECT
        k0,
        COUNT(*) AS "requests",
        MAX(rated_feedbacks) AS "feedbacks",
        MAX(rated_sum) AS "weighted_sum",
        MAX(rated_count) AS "weighted_count"
      FROM (
        SELECT
          k0,
          rated_trace,
          rated_feedbacks,
          rated_sum,
          rated_count
        FROM (
          SELECT
            COALESCE(LIST_EXTRACT("metadata.value", LIST_POSITION("metadata.key", 'te''am')), '') AS k0,
            "trace_id"
          FROM "rated_requests"
          WHERE
            (
              (
                "created_at" >= CAST('2026-02-01 10:00:00.000' AS TIMESTAMP)
                AND "created_at" <= CAST('2026-02-09 23:59:59.999' AS TIMESTAMP)
              )
              OR (
                "created_at" >= CAST('2026-02-11 00:00:00.000' AS TIMESTAMP)
                AND "created_at" <= CAST('2026-02-28 23:59:59.999' AS TIMESTAMP)
              )
            )
            AND "organisation_id" = 'org-1'
            AND "cost" >= CAST('1.000000000000' AS DECIMAL(38, 12))
          UNION ALL
          SELECT
            COALESCE(LIST_EXTRACT("metadata.value", LIST_POSITION("metadata.key", 'te''am')), '') AS k0,
            "trace_id"
          FROM "generations"
          WHERE
            (
              "created_at" >= CAST('2026-02-10 00:00:00.000' AS TIMESTAMP)
              AND "created_at" <= CAST('2026-02-10 23:59:59.999' AS TIMESTAMP)
            )
            AND "organisation_id" = 'org-1'
            AND "cost" >= CAST('1.000000000000' AS DECIMAL(38, 12))
        ) AS looked_up
        JOIN (
          SELECT
            "trace_id" AS rated_trace,
            COUNT(*) AS rated_feedbacks,
            SUM(CAST("weighted" AS DOUBLE)) AS rated_sum,
            CAST(COALESCE(COUNT_IF(NOT "weighted" IS NULL), 0) AS BIGINT) AS rated_count
          FROM "feedbacks"
          WHERE
            "organisation_id" = 'org-1' AND "trace_id" <> ''
          GROUP BY
            rated_trace
        ) AS ratings
          ON "trace_id" = rated_trace
      ) AS keyed
      GROUP BY
        k0,
        rated_trace
    ) AS traces
    GROUP BY
      k0
    UNION ALL
    SELECT
      COALESCE(LIST_EXTRACT("metadata.value", LIST_POSITION("metadata.key", 'te''am')), '') AS k0,
      COUNT(*) AS m_requests,
      CAST(SUM("cost") AS DECIMAL(38, 12)) AS m_cost,
      NULL AS m_feedbacks,
      CAST(COALESCE(COUNT_IF("cost" IS NULL), 0) AS BIGINT) AS m_unpriced_requests
    FROM "generations"
    WHERE
      (
        "created_at" >= CAST('2026-02-01 10:00:00.000' AS TIMESTAMP)
        AND "created_at" <= CAST('2026-02-28 23:59:59.999' AS TIMESTAMP)
      )
      AND "organisation_id" = 'org-1'
      AND "cost" >= CAST('1.000000000000' AS DECIMAL(38, 12))
    GROUP BY
      k0
  ) AS partials
  GROUP BY
    k0
) AS groups
ORDER BY
  m_requests DESC,
  k0 ASC
LIMIT 50
