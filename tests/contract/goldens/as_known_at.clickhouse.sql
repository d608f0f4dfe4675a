SELECT
  k0 AS c0,
  m_cost AS c1,
  m_p95_latency AS c2,
  m_unpriced_requests AS c3,
  COUNT(*) OVER () AS total
FROM (
  SELECT
    COALESCE("ai_model", '') AS k0,
    toInt64(count()) AS m_requests,
    CAST(sumOrNull("cost") AS Nullable(Decimal(38, 12))) AS m_cost,
    quantileExactInclusiveOrNull(0.95)("response_time") AS m_p95_latency,
    toInt64(countIf(("cost" IS NULL) <> 0)) AS m_unpriced_requests
  FROM (
    SELECT
      "organisation_id" AS "organisation_id",
      "created_at" AS "created_at",
      "ai_model" AS "ai_model",
      "response_time" AS "response_time",
      CASE
        WHEN "repriced_at" >= toDateTime64('2026-03-05 10:00:00.124', 3, 'UTC')
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
        "corrected_at" >= toDateTime64('2026-03-05 10:00:00.124', 3, 'UTC')
        AND (
          "was_corrected_at" IS NULL
          OR "was_corrected_at" < toDateTime64('2026-03-05 10:00:00.124', 3, 'UTC')
        )
        AND (
          "created_at" >= toDateTime64('2026-02-01 10:00:00.000', 3, 'UTC')
          AND "created_at" <= toDateTime64('2026-02-28 23:59:59.999', 3, 'UTC')
        )
        AND "organisation_id" = 'org-1'
    ) AS replaced
      ON "id" = "row_id" AND "created_at" = "request_made_at"
    WHERE
      COALESCE("ingested_at", "created_at") < toDateTime64('2026-03-05 10:00:00.124', 3, 'UTC')
      AND (
        "created_at" >= toDateTime64('2026-02-01 10:00:00.000', 3, 'UTC')
        AND "created_at" <= toDateTime64('2026-02-28 23:59:59.999', 3, 'UTC')
      )
      AND "organisation_id" = 'org-1'
  ) AS known
  WHERE
    (
      "created_at" >= toDateTime64('2026-02-01 10:00:00.000', 3, 'UTC')
      AND "created_at" <= toDateTime64('2026-02-28 23:59:59.999', 3, 'UTC')
    )
    AND "organisation_id" = 'org-1'
    AND "cost" >= CAST('1.000000000000' AS Nullable(Decimal(38, 12)))
  GROUP BY
    k0
) AS groups
ORDER BY
  m_requests DESC,
  k0 ASC
LIMIT 50
