SELECT
  COUNT(*) AS "requests",
  CAST(SUM("cost") AS DECIMAL(38, 12)) AS "cost",
  CAST(COALESCE(COUNT_IF("cost" IS NULL), 0) AS BIGINT) AS "unpriced_requests",
  CAST(COALESCE(SUM("total_units"), 0) AS BIGINT) AS "total_tokens",
  CAST(COALESCE(SUM("req_units"), 0) AS BIGINT) AS "input_tokens",
  CAST(COALESCE(SUM("res_units"), 0) AS BIGINT) AS "output_tokens",
  CAST(COALESCE(COUNT_IF(NOT "is_success"), 0) AS BIGINT) AS "error_count",
  CAST(COALESCE(SUM("response_time"), 0) AS BIGINT) AS "latency_sum",
  CAST(COALESCE(COUNT_IF(NOT "response_time" IS NULL), 0) AS BIGINT) AS "latency_count"
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
  AND (
    STRPOS(LOWER("id"), LOWER('gpt')) > 0
    OR STRPOS(LOWER("trace_id"), LOWER('gpt')) > 0
    OR STRPOS(LOWER("span_id"), LOWER('gpt')) > 0
    OR STRPOS(LOWER("span_name"), LOWER('gpt')) > 0
    OR STRPOS(LOWER("ai_org"), LOWER('gpt')) > 0
    OR STRPOS(LOWER("ai_model"), LOWER('gpt')) > 0
    OR STRPOS(LOWER("_user"), LOWER('gpt')) > 0
    OR STRPOS(LOWER("user_id"), LOWER('gpt')) > 0
    OR STRPOS(LOWER("api_key_id"), LOWER('gpt')) > 0
    OR STRPOS(LOWER("virtual_key"), LOWER('gpt')) > 0
    OR STRPOS(LOWER("config"), LOWER('gpt')) > 0
    OR STRPOS(LOWER("prompt_slug"), LOWER('gpt')) > 0
    OR STRPOS(LOWER(ARRAY_TO_STRING("metadata.key", '
')), LOWER('gpt')) > 0
    OR STRPOS(LOWER(ARRAY_TO_STRING("metadata.value", '
')), LOWER('gpt')) > 0
  )
