SELECT
  COUNT(DISTINCT "trace_id") AS traces
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
    AND (
      STRPOS(LOWER("id"), LOWER('x')) > 0
      OR STRPOS(LOWER("trace_id"), LOWER('x')) > 0
      OR STRPOS(LOWER("span_id"), LOWER('x')) > 0
      OR STRPOS(LOWER("span_name"), LOWER('x')) > 0
      OR STRPOS(LOWER("ai_org"), LOWER('x')) > 0
      OR STRPOS(LOWER("ai_model"), LOWER('x')) > 0
      OR STRPOS(LOWER("_user"), LOWER('x')) > 0
      OR STRPOS(LOWER("user_id"), LOWER('x')) > 0
      OR STRPOS(LOWER("api_key_id"), LOWER('x')) > 0
      OR STRPOS(LOWER("virtual_key"), LOWER('x')) > 0
      OR STRPOS(LOWER("config"), LOWER('x')) > 0
      OR STRPOS(LOWER("prompt_slug"), LOWER('x')) > 0
      OR STRPOS(LOWER(ARRAY_TO_STRING("metadata.key", '
')), LOWER('x')) > 0
      OR STRPOS(LOWER(ARRAY_TO_STRING("metadata.value", '
')), LOWER('x')) > 0
    )
  )
  AND "trace_id" <> ''
