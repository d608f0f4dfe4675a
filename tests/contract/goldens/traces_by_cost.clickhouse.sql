SELECT
  *
FROM (
  SELECT
    "trace_id",
    toInt64(count()) AS "requests",
    CAST(sumOrNull("cost") AS Nullable(Decimal(38, 12))) AS "total_cost",
    toInt64(countIf((
      "cost" IS NULL
    ) <> 0)) AS "unpriced_requests",
    toInt64(ifNull(sum("total_units"), 0)) AS "total_tokens",
    toInt64(ifNull(sum("req_units"), 0)) AS "input_tokens",
    toInt64(ifNull(sum("res_units"), 0)) AS "output_tokens",
    toInt64(countIf((
      NOT "is_success"
    ) <> 0)) AS "error_count",
    toInt64(uniqExact("ai_model")) AS "models",
    minOrNull("created_at") AS "first_seen",
    maxOrNull("created_at") AS "last_seen",
    maxOrNull(
      toInt64(
        intDiv(
          toUnixTimestamp64Milli(toDateTime64("created_at", 3, 'UTC')) - toUnixTimestamp64Milli(toDateTime64(toDateTime64('2026-03-27 00:00:00.000', 3, 'UTC'), 3, 'UTC')),
          1
        )
      ) + COALESCE("response_time", 0)
    ) - minOrNull(
      toInt64(
        intDiv(
          toUnixTimestamp64Milli(toDateTime64("created_at", 3, 'UTC')) - toUnixTimestamp64Milli(toDateTime64(toDateTime64('2026-03-27 00:00:00.000', 3, 'UTC'), 3, 'UTC')),
          1
        )
      )
    ) AS "duration_ms"
  FROM "generations"
  WHERE
    (
      (
        "organisation_id" = 'org-a' AND "workspace_slug" IN ('default', 'o''brien')
      )
      AND (
        "created_at" >= toDateTime64('2026-03-27 00:00:00.000', 3, 'UTC')
        AND "created_at" <= toDateTime64('2026-05-26 00:00:00.000', 3, 'UTC')
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
          "created_at" >= toDateTime64('2026-03-27 00:00:00.000', 3, 'UTC')
          AND "created_at" <= toDateTime64('2026-05-26 00:00:00.000', 3, 'UTC')
        )
        AND "cost" >= CAST('0.100000000000' AS Nullable(Decimal(38, 12)))
    )
  GROUP BY
    "trace_id"
) AS traces
WHERE
  (
    "total_cost" < CAST('2' AS Nullable(Decimal(38, 12))) OR "total_cost" IS NULL
  )
  OR (
    "total_cost" = CAST('2' AS Nullable(Decimal(38, 12)))
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
    "created_at" >= toDateTime64('2026-03-29 21:20:12.443', 3, 'UTC')
    AND "created_at" <= toDateTime64('2026-03-29 21:20:12.443', 3, 'UTC')
  )
  AND (
    "trace_id" = 'trace-4'
    AND "created_at" = toDateTime64('2026-03-29 21:20:12.443', 3, 'UTC')
  )
ORDER BY
  "id" IS NULL ASC,
  "id" DESC;

SELECT
  "trace_id",
  toInt64(count()) AS given,
  (
    toFloat64(toFloat64(sumOrNull("weighted"))) / nullIf(toFloat64(toInt64(countIf((
      NOT (
        "weighted" IS NULL
      )
    ) <> 0))), 0)
  ) AS mean
FROM "feedbacks"
WHERE
  (
    "organisation_id" = 'org-a' AND "workspace_slug" IN ('default', 'o''brien')
  )
  AND "trace_id" = 'trace-4'
GROUP BY
  "trace_id"
