SELECT
  k0 AS c0,
  m_requests AS c1,
  COUNT(*) OVER () AS total
FROM (
  SELECT
    COALESCE("api_key_id", '') AS k0,
    toInt64(count()) AS m_requests
  FROM "generations"
  WHERE
    (
      "created_at" >= toDateTime64('2026-02-01 10:00:00.000', 3, 'UTC')
      AND "created_at" <= toDateTime64('2026-02-28 23:59:59.999', 3, 'UTC')
    )
    AND (
      "organisation_id" = 'org-1' AND "workspace_slug" IN ('o''brien', 'prod')
    )
    AND "total_units" >= 10
    AND "cost" >= CAST('0.100000000000' AS Nullable(Decimal(38, 12)))
    AND "cost" <= CAST('5.500000000000' AS Nullable(Decimal(38, 12)))
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
        AND NOT (
          "trace_id" IS NULL
        )
        AND "trace_id" <> ''
      GROUP BY
        "trace_id"
      HAVING
        (
          toFloat64(toFloat64(sumOrNull("weighted"))) / nullIf(toFloat64(toInt64(countIf((
            NOT (
              "weighted" IS NULL
            )
          ) <> 0))), 0)
        ) >= CAST('-1.5' AS Nullable(Float64))
    )
    AND COALESCE("config", '') IN ('pc-1', '')
    AND FALSE
    AND (
      arrayElement("metadata.value", indexOf("metadata.key", 'team')) = 'search'
      AND arrayElement("metadata.value", indexOf("metadata.key", 'a''b\\')) = 'x'
    )
    AND (
      (
        "ai_org" = 'openai' AND "ai_model" = 'gpt-4o'
      )
      OR (
        "ai_org" = 'bedrock' AND COALESCE("ai_model", '') = ''
      )
    )
    AND lowerUTF8("cache_status") IN (lowerUTF8('HIT'), lowerUTF8('miss'))
  GROUP BY
    k0
) AS groups
ORDER BY
  m_requests DESC,
  k0 ASC
LIMIT 50
