SELECT
  toInt64(uniqExact("trace_id")) AS traces
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
    AND (
      POSITION(lowerUTF8("id"), lowerUTF8('x')) > 0
      OR POSITION(lowerUTF8("trace_id"), lowerUTF8('x')) > 0
      OR POSITION(lowerUTF8("span_id"), lowerUTF8('x')) > 0
      OR POSITION(lowerUTF8("span_name"), lowerUTF8('x')) > 0
      OR POSITION(lowerUTF8("ai_org"), lowerUTF8('x')) > 0
      OR POSITION(lowerUTF8("ai_model"), lowerUTF8('x')) > 0
      OR POSITION(lowerUTF8("_user"), lowerUTF8('x')) > 0
      OR POSITION(lowerUTF8("user_id"), lowerUTF8('x')) > 0
      OR POSITION(lowerUTF8("api_key_id"), lowerUTF8('x')) > 0
      OR POSITION(lowerUTF8("virtual_key"), lowerUTF8('x')) > 0
      OR POSITION(lowerUTF8("config"), lowerUTF8('x')) > 0
      OR POSITION(lowerUTF8("prompt_slug"), lowerUTF8('x')) > 0
      OR POSITION(lowerUTF8(arrayStringConcat("metadata.key", '\n')), lowerUTF8('x')) > 0
      OR POSITION(lowerUTF8(arrayStringConcat("metadata.value", '\n')), lowerUTF8('x')) > 0
    )
  )
  AND "trace_id" <> ''
