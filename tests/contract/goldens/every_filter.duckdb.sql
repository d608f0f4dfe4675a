SELECT
  k0 AS c0,
  m_requests AS c1,
  COUNT(*) OVER () AS total
FROM (
  SELECT
    COALESCE("api_key_id", '') AS k0,
    COUNT(*) AS m_requests
  FROM "generations"
  WHERE
    (
      "created_at" >= CAST('2026-02-01 10:00:00.000' AS TIMESTAMP)
      AND "created_at" <= CAST('2026-02-28 23:59:59.999' AS TIMESTAMP)
    )
    AND (
      "organisation_id" = 'org-1' AND "workspace_slug" IN ('o''brien', 'prod')
    )
    AND "total_units" >= 10
    AND "cost" >= CAST('0.100000000000' AS DECIMAL(38, 12))
    AND "cost" <= CAST('5.500000000000' AS DECIMAL(38, 12))
    AND "res_units" <= 99
    AND "response_status_code" IN (200, 429)
    AND "trace_id" IN (
      SELECT
        "trace_id"
      FROM "feedbacks"
      WHERE
        (
          "organisation_id" = 'org-1' AND "workspace_slug" IN ('o''brien', 'prod')
        )
        AND NOT "trace_id" IS NULL
        AND "trace_id" <> ''
      GROUP BY
        "trace_id"
      HAVING
        CAST(SUM(CAST("weighted" AS DOUBLE)) AS DOUBLE) / NULLIF(CAST(CAST(COALESCE(COUNT_IF(NOT "weighted" IS NULL), 0) AS BIGINT) AS DOUBLE), 0) >= CAST('-1.5' AS DOUBLE)
    )
    AND COALESCE("config", '') IN ('pc-1', '')
    AND FALSE
    AND (
      COALESCE(LIST_EXTRACT("metadata.value", LIST_POSITION("metadata.key", 'team')), '') = 'search'
      AND COALESCE(LIST_EXTRACT("metadata.value", LIST_POSITION("metadata.key", 'a''b\')), '') = 'x'
    )
    AND (
      (
        "ai_org" = 'openai' AND "ai_model" = 'gpt-4o'
      )
      OR (
        "ai_org" = 'bedrock' AND COALESCE("ai_model", '') = ''
      )
    )
    AND LOWER("cache_status") IN (LOWER('HIT'), LOWER('miss'))
  GROUP BY
    k0
) AS groups
ORDER BY
  m_requests DESC,
  k0 ASC
LIMIT 50
