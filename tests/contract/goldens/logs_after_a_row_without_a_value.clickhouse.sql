SELECT
  "response_time",
  "created_at",
  "id"
FROM "generations"
WHERE
  (
    (
      "organisation_id" = 'org-a'
      AND (
        "user_id" = 'user-1' OR "api_key_id" = 'key-1'
      )
    )
    AND (
      "created_at" >= toDateTime64('2026-03-27 00:00:00.000', 3, 'UTC')
      AND "created_at" <= toDateTime64('2026-05-26 00:00:00.000', 3, 'UTC')
    )
  )
  AND (
    (
      "response_time" IS NULL
      AND (
        "created_at" < toDateTime64('2026-03-04 05:06:07.089', 3, 'UTC')
        OR "created_at" IS NULL
      )
    )
    OR (
      "response_time" IS NULL
      AND "created_at" = toDateTime64('2026-03-04 05:06:07.089', 3, 'UTC')
      AND (
        "id" < 'id-1' OR "id" IS NULL
      )
    )
  )
ORDER BY
  "response_time" IS NULL ASC,
  "response_time" DESC,
  "created_at" IS NULL ASC,
  "created_at" DESC,
  "id" IS NULL ASC,
  "id" DESC
LIMIT 2
