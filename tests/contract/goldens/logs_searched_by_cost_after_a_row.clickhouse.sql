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
      "created_at" >= toDateTime64('2026-03-27 00:00:00.000', 3, 'UTC')
      AND "created_at" <= toDateTime64('2026-05-26 00:00:00.000', 3, 'UTC')
    )
    AND "cost" >= CAST('0.100000000000' AS Nullable(Decimal(38, 12)))
    AND (
      POSITION(lowerUTF8("id"), lowerUTF8('100%_o''x\\')) > 0
      OR POSITION(lowerUTF8("trace_id"), lowerUTF8('100%_o''x\\')) > 0
      OR POSITION(lowerUTF8("span_id"), lowerUTF8('100%_o''x\\')) > 0
      OR POSITION(lowerUTF8("span_name"), lowerUTF8('100%_o''x\\')) > 0
      OR POSITION(lowerUTF8("ai_org"), lowerUTF8('100%_o''x\\')) > 0
      OR POSITION(lowerUTF8("ai_model"), lowerUTF8('100%_o''x\\')) > 0
      OR POSITION(lowerUTF8("_user"), lowerUTF8('100%_o''x\\')) > 0
      OR POSITION(lowerUTF8("user_id"), lowerUTF8('100%_o''x\\')) > 0
      OR POSITION(lowerUTF8("api_key_id"), lowerUTF8('100%_o''x\\')) > 0
      OR POSITION(lowerUTF8("virtual_key"), lowerUTF8('100%_o''x\\')) > 0
      OR POSITION(lowerUTF8("config"), lowerUTF8('100%_o''x\\')) > 0
      OR POSITION(lowerUTF8("prompt_slug"), lowerUTF8('100%_o''x\\')) > 0
      OR POSITION(lowerUTF8(arrayStringConcat("metadata.key", '\n')), lowerUTF8('100%_o''x\\')) > 0
      OR POSITION(lowerUTF8(arrayStringConcat("metadata.value", '\n')), lowerUTF8('100%_o''x\\')) > 0
    )
  )
  AND (
    (
      "cost" > CAST('0.5' AS Nullable(Decimal(38, 12))) OR "cost" IS NULL
    )
    OR (
      "cost" = CAST('0.5' AS Nullable(Decimal(38, 12)))
      AND (
        "created_at" > toDateTime64('2026-03-04 05:06:07.089', 3, 'UTC')
        OR "created_at" IS NULL
      )
    )
    OR (
      "cost" = CAST('0.5' AS Nullable(Decimal(38, 12)))
      AND "created_at" = toDateTime64('2026-03-04 05:06:07.089', 3, 'UTC')
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
