SELECT
  "created_at",
  "id"
FROM "generations"
WHERE
  (
    "organisation_id" = 'org-a' AND "workspace_slug" IN ('default', 'o''brien')
  )
  AND (
    "created_at" >= CAST('2026-03-27 00:00:00.000' AS TIMESTAMP)
    AND "created_at" <= CAST('2026-05-26 00:00:00.000' AS TIMESTAMP)
  )
ORDER BY
  "created_at" IS NULL ASC,
  "created_at" DESC,
  "id" IS NULL ASC,
  "id" DESC
LIMIT 2;

SELECT
  "organisation_id",
  "created_at",
  "workspace_slug",
  "id",
  "organisation_name",
  "user_id",
  "api_key_id",
  "ai_org",
  "ai_model",
  "ai_org_auth_hash",
  "virtual_key",
  "config",
  "config_id",
  "config_version_id",
  "prompt_slug",
  "prompt_id",
  "prompt_version_id",
  "is_success",
  "response_status_code",
  "response_time",
  "request_url",
  "request_method",
  "is_proxy_call",
  "stream_mode",
  "cache_status",
  "cache_type",
  "retry_success_count",
  "mode",
  "last_used_option_index",
  "trace_id",
  "span_id",
  "parent_span_id",
  "span_name",
  "internal_trace_id",
  "metadata.key",
  "metadata.value",
  "_environment",
  "_user",
  "_organisation",
  "_prompt",
  "extra_key",
  "extra_value",
  "source",
  "runtime",
  "runtime_version",
  "sdk_version",
  "license_id",
  "gateway_version",
  "log_store_file_path_format",
  "request_parsing_time",
  "pre_processing_time",
  "cache_processing_time",
  "response_parsing_time",
  "gateway_processing_time",
  "upstream_response_time",
  "ttlt",
  "req_units",
  "res_units",
  "total_units",
  "cost_currency",
  "uncached_input_tokens",
  "cache_read_tokens",
  "cache_write_tokens",
  "cache_write_1h_tokens",
  "audio_input_tokens",
  "cache_read_audio_tokens",
  "image_input_tokens",
  "cache_read_image_tokens",
  "output_tokens",
  "reasoning_tokens",
  "audio_output_tokens",
  "image_output_tokens",
  "generated_images",
  "execution_mode",
  "region",
  "image_quality",
  "image_size",
  "units.name",
  "units.quantity",
  "cost",
  "cost_source",
  "computed_cost",
  "reported_cost",
  "uncached_input_cost",
  "cache_read_cost",
  "cache_write_cost",
  "output_cost",
  "reasoning_cost",
  "audio_cost",
  "image_cost",
  "other_cost",
  "cache_saved_cost",
  "cost_low",
  "cost_high",
  "price_id",
  "unpriced_reason",
  "ingested_at",
  "repriced_at"
FROM "generations"
WHERE
  (
    "organisation_id" = 'org-a' AND "workspace_slug" IN ('default', 'o''brien')
  )
  AND (
    "created_at" >= CAST('2026-03-31 09:49:29.505' AS TIMESTAMP)
    AND "created_at" <= CAST('2026-03-31 09:49:29.505' AS TIMESTAMP)
  )
  AND "id" = 'g-61-100'
