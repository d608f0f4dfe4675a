SELECT
  *
FROM (
  SELECT
    "trace_id",
    COUNT(*) AS "requests",
    CAST(SUM("cost") AS DECIMAL(38, 12)) AS "total_cost",
    CAST(COALESCE(COUNT_IF("cost" IS NULL), 0) AS BIGINT) AS "unpriced_requests",
    CAST(COALESCE(SUM("total_units"), 0) AS BIGINT) AS "total_tokens",
    CAST(COALESCE(SUM("req_units"), 0) AS BIGINT) AS "input_tokens",
    CAST(COALESCE(SUM("res_units"), 0) AS BIGINT) AS "output_tokens",
    CAST(COALESCE(COUNT_IF(NOT "is_success"), 0) AS BIGINT) AS "error_count",
    COUNT(DISTINCT "ai_model") AS "models",
    MIN("created_at") AS "first_seen",
    MAX("created_at") AS "last_seen",
    MAX(
      CAST((
        EPOCH_US(CAST("created_at" AS TIMESTAMP)) - EPOCH_US(CAST('2026-03-27 00:00:00.000' AS TIMESTAMP))
      ) // 1000 AS BIGINT) + COALESCE("response_time", 0)
    ) - MIN(
      CAST((
        EPOCH_US(CAST("created_at" AS TIMESTAMP)) - EPOCH_US(CAST('2026-03-27 00:00:00.000' AS TIMESTAMP))
      ) // 1000 AS BIGINT)
    ) AS "duration_ms"
  FROM "generations"
  WHERE
    (
      (
        "organisation_id" = 'org-a' AND "workspace_slug" IN ('default', 'o''brien')
      )
      AND (
        "created_at" >= CAST('2026-03-27 00:00:00.000' AS TIMESTAMP)
        AND "created_at" <= CAST('2026-05-26 00:00:00.000' AS TIMESTAMP)
      )
      AND "trace_id" <> ''
    )
    AND "trace_id" IN (
      SELECT
        "trace_id"
      FROM "generations"
      WHERE
        (
          "organisation_id" = 'org-a' AND "workspace_slug" IN ('default', 'o''brien')
        )
        AND (
          "created_at" >= CAST('2026-03-27 00:00:00.000' AS TIMESTAMP)
          AND "created_at" <= CAST('2026-05-26 00:00:00.000' AS TIMESTAMP)
        )
        AND "cost" >= CAST('0.100000000000' AS DECIMAL(38, 12))
    )
  GROUP BY
    "trace_id"
) AS traces
WHERE
  (
    "total_cost" < CAST('2' AS DECIMAL(38, 12)) OR "total_cost" IS NULL
  )
  OR (
    "total_cost" = CAST('2' AS DECIMAL(38, 12))
    AND (
      "trace_id" < 'trace-1' OR "trace_id" IS NULL
    )
  )
ORDER BY
  "total_cost" IS NULL ASC,
  "total_cost" DESC,
  "trace_id" IS NULL ASC,
  "trace_id" DESC
LIMIT 2;

SELECT
  "trace_id",
  "id",
  "span_id",
  "span_name",
  "parent_span_id",
  "workspace_slug",
  "ai_org",
  "ai_model",
  "_user",
  "metadata.key",
  "metadata.value"
FROM "generations"
WHERE
  (
    "organisation_id" = 'org-a' AND "workspace_slug" IN ('default', 'o''brien')
  )
  AND (
    "created_at" >= CAST('2026-03-29 21:20:12.443' AS TIMESTAMP)
    AND "created_at" <= CAST('2026-03-29 21:20:12.443' AS TIMESTAMP)
  )
  AND (
    "trace_id" = 'trace-4'
    AND "created_at" = CAST('2026-03-29 21:20:12.443' AS TIMESTAMP)
  )
ORDER BY
  "id" IS NULL ASC,
  "id" DESC;

SELECT
  "trace_id",
  COUNT(*) AS given,
  CAST(SUM(CAST("weighted" AS DOUBLE)) AS DOUBLE) / NULLIF(CAST(CAST(COALESCE(COUNT_IF(NOT "weighted" IS NULL), 0) AS BIGINT) AS DOUBLE), 0) AS mean
FROM "feedbacks"
WHERE
  (
    "organisation_id" = 'org-a' AND "workspace_slug" IN ('default', 'o''brien')
  )
  AND "trace_id" = 'trace-4'
GROUP BY
  "trace_id"
