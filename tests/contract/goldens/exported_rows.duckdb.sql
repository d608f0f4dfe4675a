SELECT
  COUNT(*) AS rows
FROM "generations"
WHERE
  (
    "organisation_id" = 'org-a' AND "workspace_slug" IN ('default', 'o''brien')
  )
  AND "cost" >= CAST('0.100000000000' AS DECIMAL(38, 12))
  AND (
    "created_at" >= CAST('2026-03-27 00:00:00.000' AS TIMESTAMP)
    AND "created_at" <= CAST('2026-05-26 00:00:00.000' AS TIMESTAMP)
  )
  AND (
    "ingested_at" IS NULL
    OR "ingested_at" < CAST('2026-03-04 05:06:07.090' AS TIMESTAMP)
  )
  AND "ai_model" = 'gpt-4o';

SELECT
  TIME_BUCKET(TO_SECONDS(86400), "created_at", CAST('1970-01-01 00:00:00' AS TIMESTAMP)) AS start,
  COUNT(*) AS rows
FROM "generations"
WHERE
  (
    "organisation_id" = 'org-a' AND "workspace_slug" IN ('default', 'o''brien')
  )
  AND (
    "created_at" >= CAST('2026-03-04 05:06:07.089' AS TIMESTAMP)
    AND "created_at" <= CAST('2026-05-26 00:00:00.000' AS TIMESTAMP)
  )
  AND (
    "ingested_at" IS NULL
    OR "ingested_at" < CAST('2026-05-26 00:00:00.001' AS TIMESTAMP)
  )
  AND (
    (
      "created_at" > CAST('2026-03-04 05:06:07.089' AS TIMESTAMP)
      OR "created_at" IS NULL
    )
    OR (
      "created_at" = CAST('2026-03-04 05:06:07.089' AS TIMESTAMP)
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
    "created_at" >= CAST('2026-03-04 05:06:07.089' AS TIMESTAMP)
    AND "created_at" <= CAST('2026-05-26 00:00:00.000' AS TIMESTAMP)
  )
  AND (
    "ingested_at" IS NULL
    OR "ingested_at" < CAST('2026-05-26 00:00:00.001' AS TIMESTAMP)
  )
  AND (
    (
      "created_at" > CAST('2026-03-04 05:06:07.089' AS TIMESTAMP)
      OR "created_at" IS NULL
    )
    OR (
      "created_at" = CAST('2026-03-04 05:06:07.089' AS TIMESTAMP)
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
