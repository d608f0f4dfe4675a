"""The audit record: who changed what, from where, and with what outcome. Source: controlplane contract 10.4."""

from warehouse.catalog.model import Column, Dataset, Kind, Origin, Unit

_OURS = Origin.GATELEDGER
SINCE = 6
"""The schema version that brought the dataset."""

AUDIT_LOGS = Dataset(
    name="audit_logs",
    description="One row per call that changed something or tried to, and per token that was refused; secrets are masked.",
    columns=(
        Column("organisation_id", Kind.TEXT, "Organisation that the call was about.", origin=_OURS, since=SINCE),
        Column("timestamp", Kind.INSTANT, "When the call was answered.", Unit.UTC, _OURS, since=SINCE),
        Column("workspace_id", Kind.TEXT, "Workspace of the caller or of what was changed, by id.", origin=_OURS, since=SINCE),
        Column("id", Kind.TEXT, "Id of the record.", origin=_OURS, since=SINCE),
        Column("user_id", Kind.TEXT, "User who called; the API key where no user stands behind it.", origin=_OURS, since=SINCE),
        Column("user_type", Kind.TEXT, "What user_id is of: user or api_key.", origin=_OURS, since=SINCE),
        Column("api_key_id", Kind.TEXT, "API key or token by which the call was made.", origin=_OURS, since=SINCE),
        Column("resource_type", Kind.TEXT, "Kind of thing that was changed.", origin=_OURS, since=SINCE),
        Column("resource_id", Kind.TEXT, "The thing that was changed, where the call names one or made one.", origin=_OURS, since=SINCE),
        Column("action", Kind.TEXT, "What was done, such as create, update, delete, publish, export, rotate, duplicate or manage.", origin=_OURS, since=SINCE),
        Column("method", Kind.TEXT, "HTTP method.", origin=_OURS, since=SINCE),
        Column("uri", Kind.TEXT, "Path that was called.", origin=_OURS, since=SINCE),
        Column("response_status_code", Kind.INTEGER, "Status of the answer.", origin=_OURS, since=SINCE),
        Column("request_id", Kind.TEXT, "Id of the request, as its answer and the logs name it.", origin=_OURS, since=SINCE),
        Column("request_body", Kind.TEXT, "Body as JSON, secrets masked; what is no JSON is described.", origin=_OURS, since=SINCE),
        Column("query_params", Kind.TEXT, "Query parameters as JSON, secrets masked.", origin=_OURS, since=SINCE),
        Column("request_headers", Kind.TEXT, "Headers as JSON, secrets masked.", origin=_OURS, since=SINCE),
        Column("client_ip", Kind.TEXT, "Address of the caller.", origin=_OURS, since=SINCE),
        Column("country", Kind.TEXT, "Country of the caller, where a trusted proxy tells it.", origin=_OURS, since=SINCE),
        Column("reason", Kind.TEXT, "Why the call was refused, where more is known than its answer tells.", origin=_OURS, since=SINCE),
    ),
    sort_by=("organisation_id", "timestamp"),
    time_column="timestamp",
)  # fmt: skip
