SELECT
  k0 AS c0,
  m_cost AS c1,
  m_feedbacks AS c2,
  m_unpriced_requests AS c3,
  COUNT(*) OVER () AS total
FROM (
  SELECT
    k0,
    toInt64(ifNull(sum(m_requests), 0)) AS m_requests,
    CAST(sumOrNull(m_cost) AS Nullable(Decimal(38, 12))) AS m_cost,
    toInt64(ifNull(sum(m_feedbacks), 0)) AS m_feedbacks,
    toInt64(ifNull(sum(m_unpriced_requests), 0)) AS m_unpriced_requests
  FROM (
    SELECT
      k0 AS k0,
      NULL AS m_requests,
      NULL AS m_cost,
      toInt64(ifNull(sum("feedbacks"), 0)) AS m_feedbacks,
      NULL AS m_unpriced_requests
    FROM (
      SELECT
        k0,
        toInt64(count()) AS "requests",
        maxOrNull(rated_feedbacks) AS "feedbacks",
        maxOrNull(rated_sum) AS "weighted_sum",
        maxOrNull(rated_count) AS "weighted_count"
      FROM (
        SELECT
          k0,
          rated_trace,
          rated_feedbacks,
          rated_sum,
          rated_count
        FROM (
          SELECT
            arrayElement("metadata.value", indexOf("metadata.key", 'te''am')) AS k0,
            "trace_id"
          FROM "rated_requests"
          WHERE
            (
              (
                "created_at" >= toDateTime64('2026-02-01 10:00:00.000', 3, 'UTC')
                AND "created_at" <= toDateTime64('2026-02-09 23:59:59.999', 3, 'UTC')
              )
              OR (
                "created_at" >= toDateTime64('2026-02-11 00:00:00.000', 3, 'UTC')
                AND "created_at" <= toDateTime64('2026-02-28 23:59:59.999', 3, 'UTC')
              )
            )
            AND "organisation_id" = 'org-1'
            AND "cost" >= CAST('1.000000000000' AS Nullable(Decimal(38, 12)))
          UNION ALL
          SELECT
            arrayElement("metadata.value", indexOf("metadata.key", 'te''am')) AS k0,
            "trace_id"
          FROM "generations"
          WHERE
            (
              "created_at" >= toDateTime64('2026-02-10 00:00:00.000', 3, 'UTC')
              AND "created_at" <= toDateTime64('2026-02-10 23:59:59.999', 3, 'UTC')
            )
            AND "organisation_id" = 'org-1'
            AND "cost" >= CAST('1.000000000000' AS Nullable(Decimal(38, 12)))
        ) AS looked_up
        JOIN (
          SELECT
            "trace_id" AS rated_trace,
            toInt64(count()) AS rated_feedbacks,
            toFloat64(sumOrNull("weighted")) AS rated_sum,
            toInt64(countIf((
              NOT (
                "weighted" IS NULL
              )
            ) <> 0)) AS rated_count
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
      arrayElement("metadata.value", indexOf("metadata.key", 'te''am')) AS k0,
      toInt64(count()) AS m_requests,
      CAST(sumOrNull("cost") AS Nullable(Decimal(38, 12))) AS m_cost,
      NULL AS m_feedbacks,
      toInt64(countIf(("cost" IS NULL) <> 0)) AS m_unpriced_requests
    FROM "generations"
    WHERE
      (
        "created_at" >= toDateTime64('2026-02-01 10:00:00.000', 3, 'UTC')
        AND "created_at" <= toDateTime64('2026-02-28 23:59:59.999', 3, 'UTC')
      )
      AND "organisation_id" = 'org-1'
      AND "cost" >= CAST('1.000000000000' AS Nullable(Decimal(38, 12)))
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
