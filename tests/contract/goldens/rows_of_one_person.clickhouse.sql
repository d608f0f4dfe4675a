SELECT
  k0 AS c0,
  m_requests AS c1,
  COUNT(*) OVER () AS total
FROM (
  SELECT
    COALESCE("ai_model", '') AS k0,
    toInt64(count()) AS m_requests
  FROM "generations"
  WHERE
    (
      "created_at" >= toDateTime64('2026-02-01 10:00:00.000', 3, 'UTC')
      AND "created_at" <= toDateTime64('2026-02-28 23:59:59.999', 3, 'UTC')
    )
    AND (
      "organisation_id" = 'org-1'
      AND "workspace_slug" = 'prod'
      AND (
        "user_id" = 'user-1' OR "api_key_id" IN ('key-1', 'o''key')
      )
    )
    AND "api_key_id" = 'key-9'
    AND "trace_id" IN (
      SELECT
        "trace_id"
      FROM "feedbacks"
      WHERE
        (
          "organisation_id" = 'org-1'
          AND "workspace_slug" = 'prod'
          AND (
            "user_id" = 'user-1' OR "api_key_id" IN ('key-1', 'o''key')
          )
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
        ) >= CAST('1.0' AS Nullable(Float64))
    )
  GROUP BY
    k0
) AS groups
ORDER BY
  m_requests DESC,
  k0 ASC
LIMIT 50
