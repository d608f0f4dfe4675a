SELECT
  toInt64(count()) AS "requests",
  CAST(sumOrNull("cost") AS Nullable(Decimal(38, 12))) AS "cost",
  toInt64(countIf((
    "cost" IS NULL
  ) <> 0)) AS "unpriced_requests",
  toInt64(ifNull(sum("total_units"), 0)) AS "total_tokens",
  toInt64(ifNull(sum("req_units"), 0)) AS "input_tokens",
  toInt64(ifNull(sum("res_units"), 0)) AS "output_tokens",
  toInt64(countIf((
    NOT "is_success"
  ) <> 0)) AS "error_count",
  toInt64(ifNull(sum("response_time"), 0)) AS "latency_sum",
  toInt64(countIf((
    NOT (
      "response_time" IS NULL
    )
  ) <> 0)) AS "latency_count"
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
  AND (
    POSITION(lowerUTF8("id"), lowerUTF8('gpt')) > 0
    OR POSITION(lowerUTF8("trace_id"), lowerUTF8('gpt')) > 0
    OR POSITION(lowerUTF8("span_id"), lowerUTF8('gpt')) > 0
    OR POSITION(lowerUTF8("span_name"), lowerUTF8('gpt')) > 0
    OR POSITION(lowerUTF8("ai_org"), lowerUTF8('gpt')) > 0
    OR POSITION(lowerUTF8("ai_model"), lowerUTF8('gpt')) > 0
    OR POSITION(lowerUTF8("_user"), lowerUTF8('gpt')) > 0
    OR POSITION(lowerUTF8("user_id"), lowerUTF8('gpt')) > 0
    OR POSITION(lowerUTF8("api_key_id"), lowerUTF8('gpt')) > 0
    OR POSITION(lowerUTF8("virtual_key"), lowerUTF8('gpt')) > 0
    OR POSITION(lowerUTF8("config"), lowerUTF8('gpt')) > 0
    OR POSITION(lowerUTF8("prompt_slug"), lowerUTF8('gpt')) > 0
    OR POSITION(lowerUTF8(arrayStringConcat("metadata.key", '\n')), lowerUTF8('gpt')) > 0
    OR POSITION(lowerUTF8(arrayStringConcat("metadata.value", '\n')), lowerUTF8('gpt')) > 0
  )
