SELECT
  toInt64(count()) AS rows
FROM "generations"
WHERE
  (
    "organisation_id" = 'org-a' AND "workspace_slug" IN ('default', 'o''brien')
  )
  AND "cost" >= CAST('0.100000000000' AS Nullable(Decimal(38, 12)))
  AND (
    "created_at" >= toDateTime64('2026-03-27 00:00:00.000', 3, 'UTC')
    AND "created_at" <= toDateTime64('2026-05-26 00:00:00.000', 3, 'UTC')
  )
  AND (
    "ingested_at" IS NULL
    OR "ingested_at" < toDateTime64('2026-03-04 05:06:07.090', 3, 'UTC')
  )
  AND "ai_model" = 'gpt-4o';

SELECT
  fromUnixTimestamp64Milli(
    intDiv(toUnixTimestamp64Milli(toDateTime64("created_at", 3, 'UTC')), (
      86400 * 1000
    )) * (
      86400 * 1000
    ),
    'UTC'
  ) AS start,
  toInt64(count()) AS rows
FROM "generations"
WHERE
  (
    "organisation_id" = 'org-a' AND "workspace_slug" IN ('default', 'o''brien')
  )
  AND (
    "created_at" >= toDateTime64('2026-03-04 05:06:07.089', 3, 'UTC')
    AND "created_at" <= toDateTime64('2026-05-26 00:00:00.000', 3, 'UTC')
  )
  AND (
    "ingested_at" IS NULL
    OR "ingested_at" < toDateTime64('2026-05-26 00:00:00.001', 3, 'UTC')
  )
  AND (
    (
      "created_at" > toDateTime64('2026-03-04 05:06:07.089', 3, 'UTC')
      OR "created_at" IS NULL
    )
    OR (
      "created_at" = toDateTime64('2026-03-04 05:06:07.089', 3, 'UTC')
      AND (
        "id" > 'id-1' OR "id" IS NULL
      )
    )
  )
GROUP BY
  start;

SELECT
  "created_at" AS "created_at",
  "id" AS "id",
  "metadata.key" AS "metadata.key"
FROM "generations"
WHERE
  (
    "organisation_id" = 'org-a' AND "workspace_slug" IN ('default', 'o''brien')
  )
  AND (
    "created_at" >= toDateTime64('2026-03-04 05:06:07.089', 3, 'UTC')
    AND "created_at" <= toDateTime64('2026-05-26 00:00:00.000', 3, 'UTC')
  )
  AND (
    "ingested_at" IS NULL
    OR "ingested_at" < toDateTime64('2026-05-26 00:00:00.001', 3, 'UTC')
  )
  AND (
    (
      "created_at" > toDateTime64('2026-03-04 05:06:07.089', 3, 'UTC')
      OR "created_at" IS NULL
    )
    OR (
      "created_at" = toDateTime64('2026-03-04 05:06:07.089', 3, 'UTC')
      AND (
        "id" > 'id-1' OR "id" IS NULL
      )
    )
  )
ORDER BY
  "created_at" IS NULL ASC,
  "created_at" ASC,
  "id" IS NULL ASC,
  "id" ASC
LIMIT 1000
