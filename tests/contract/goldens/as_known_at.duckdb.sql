SELECT
  k0 AS c0,
  m_cost AS c1,
  m_p95_latency AS c2,
  m_unpriced_requests AS c3,
  COUNT(*) OVER () AS total
FROM (
  SELECT
    COALESCE("ai_model", '') AS k0,
    COUNT(*) AS m_requests,
    CAST(SUM("cost") AS DECIMAL(38, 12)) AS m_cost,
    CAST(LIST_EXTRACT(QUANTILE_CONT("response_time", [0.5, 0.9, 0.95, 0.99]), 3) AS DOUBLE) AS m_p95_latency,
    CAST(COALESCE(COUNT_IF("cost" IS NULL), 0) AS BIGINT) AS m_unpriced_requests
  FROM (
    SELECT
      "organisation_id" AS "organisation_id",
      "created_at" AS "created_at",
      "ai_model" AS "ai_model",
      "response_time" AS "response_time",
      CASE
        WHEN "repriced_at" >= CAST('2026-03-05 10:00:00.124' AS TIMESTAMP)
        THEN "old_cost"
        ELSE "cost"
      END AS "cost"
    FROM "generations"
    LEFT JOIN (
      SELECT DISTINCT
        "row_id",
        "created_at" AS "request_made_at",
        "old_cost"
      FROM "corrections"
      WHERE
        "corrected_at" >= CAST('2026-03-05 10:00:00.124' AS TIMESTAMP)
        AND (
          "was_corrected_at" IS NULL
          OR "was_corrected_at" < CAST('2026-03-05 10:00:00.124' AS TIMESTAMP)
        )
        AND (
          "created_at" >= CAST('2026-02-01 10:00:00.000' AS TIMESTAMP)
          AND "created_at" <= CAST('2026-02-28 23:59:59.999' AS TIMESTAMP)
        )
        AND "organisation_id" = 'org-1'
    ) AS replaced
      ON "id" = "row_id" AND "created_at" = "request_made_at"
    WHERE
      COALESCE("ingested_at", "created_at") < CAST('2026-03-05 10:00:00.124' AS TIMESTAMP)
      AND (
        "created_at" >= CAST('2026-02-01 10:00:00.000' AS TIMESTAMP)
        AND "created_at" <= CAST('2026-02-28 23:59:59.999' AS TIMESTAMP)
      )
      AND "organisation_id" = 'org-1'
  ) AS known
  WHERE
    (
      "created_at" >= CAST('2026-02-01 10:00:00.000' AS TIMESTAMP)
      AND "created_at" <= CAST('2026-02-28 23:59:59.999' AS TIMESTAMP)
    )
    AND "organisation_id" = 'org-1'
    AND "cost" >= CAST('1.000000000000' AS DECIMAL(38, 12))
  GROUP BY
    k0
) AS groups
ORDER BY
  m_requests DESC,
  k0 ASC
LIMIT 50
