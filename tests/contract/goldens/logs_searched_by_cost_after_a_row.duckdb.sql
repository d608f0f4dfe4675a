SELECT
  "cost",
  "created_at",
  "id"
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
    AND "cost" >= CAST('0.100000000000' AS DECIMAL(38, 12))
    AND (
      STRPOS(LOWER("id"), LOWER('100%_o''x\')) > 0
      OR STRPOS(LOWER("trace_id"), LOWER('100%_o''x\')) > 0
      OR STRPOS(LOWER("span_id"), LOWER('100%_o''x\')) > 0
      OR STRPOS(LOWER("span_name"), LOWER('100%_o''x\')) > 0
      OR STRPOS(LOWER("ai_org"), LOWER('100%_o''x\')) > 0
      OR STRPOS(LOWER("ai_model"), LOWER('100%_o''x\')) > 0
      OR STRPOS(LOWER("_user"), LOWER('100%_o''x\')) > 0
      OR STRPOS(LOWER("user_id"), LOWER('100%_o''x\')) > 0
      OR STRPOS(LOWER("api_key_id"), LOWER('100%_o''x\')) > 0
      OR STRPOS(LOWER("virtual_key"), LOWER('100%_o''x\')) > 0
      OR STRPOS(LOWER("config"), LOWER('100%_o''x\')) > 0
      OR STRPOS(LOWER("prompt_slug"), LOWER('100%_o''x\')) > 0
      OR STRPOS(LOWER(ARRAY_TO_STRING("metadata.key", '
')), LOWER('100%_o''x\')) > 0
      OR STRPOS(LOWER(ARRAY_TO_STRING("metadata.value", '
')), LOWER('100%_o''x\')) > 0
    )
  )
  AND (
    (
      "cost" > CAST('0.5' AS DECIMAL(38, 12)) OR "cost" IS NULL
    )
    OR (
      "cost" = CAST('0.5' AS DECIMAL(38, 12))
      AND (
        "created_at" > CAST('2026-03-04 05:06:07.089' AS TIMESTAMP)
        OR "created_at" IS NULL
      )
    )
    OR (
      "cost" = CAST('0.5' AS DECIMAL(38, 12))
      AND "created_at" = CAST('2026-03-04 05:06:07.089' AS TIMESTAMP)
      AND (
        "id" > 'id-1' OR "id" IS NULL
      )
    )
  )
ORDER BY
  "cost" IS NULL ASC,
  "cost" ASC,
  "created_at" IS NULL ASC,
  "created_at" ASC,
  "id" IS NULL ASC,
  "id" ASC
LIMIT 2
