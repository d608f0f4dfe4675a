"""The feedback row. Source: dataplane contract 3.6 and 4.4 (columns inferred there)."""

from sqlglot import exp

from warehouse.catalog.functions import call, column
from warehouse.catalog.model import Column, Dataset, Dimension, Kind, Measure, Origin, Ratio, Unit

FEEDBACKS = Dataset(
    name="feedbacks",
    description="One row per feedback on a trace.",
    columns=(
        Column("organisation_id", Kind.TEXT, "Organisation that owns the feedback."),
        Column("created_at", Kind.INSTANT, "When the feedback was given.", Unit.UTC),
        Column("workspace_slug", Kind.TEXT, "Workspace of the feedback, by slug."),
        Column("id", Kind.TEXT, "Id of the feedback."),
        Column("trace_id", Kind.TEXT, "Trace that the feedback is on.", distinct=True),
        Column("value", Kind.INTEGER, "Score from -10 to 10."),
        Column("weight", Kind.FLOAT, "Weight from 0 to 1."),
        Column("weighted", Kind.FLOAT, "Value times weight.", origin=Origin.GATELEDGER),
        Column("metadata.key", Kind.TEXT_LIST, "Keys of the feedback metadata."),
        Column("metadata.value", Kind.TEXT_LIST, "Values of the feedback metadata, in the order of the keys."),
        Column("_user", Kind.TEXT, "Metadata key _user."),
        Column("_organisation", Kind.TEXT, "Metadata key _organisation."),
        Column("_prompt", Kind.TEXT, "Metadata key _prompt."),
        Column("_environment", Kind.TEXT, "Metadata key _environment."),
        Column("api_key_id", Kind.TEXT, "API key that gave the feedback."),
        Column("user_id", Kind.TEXT, "Owner of that API key."),
        Column("last_updated_at", Kind.INSTANT, "When the feedback was last changed.", Unit.UTC),
        Column("batch_id", Kind.TEXT, "Batch that stored the row.", origin=Origin.GATELEDGER),
    ),
    sort_by=("organisation_id", "workspace_slug", "created_at"),
    revision_column="last_updated_at",
    dimensions=(Dimension("score", "value", "Score that was given.", kind=Kind.INTEGER),),
    measures=(
        Measure("feedbacks", Kind.INTEGER, call("GL_COUNT"), "Feedbacks.", Unit.NONE, additive=True),
        Measure("weighted_sum", Kind.FLOAT, call("GL_SUM_FLOAT", column("weighted")), "Sum of weighted values.", additive=True, internal=True),
        Measure("weighted_count", Kind.INTEGER, call("GL_COUNT_IF", exp.Not(this=exp.Is(this=column("weighted"), expression=exp.Null()))), "Feedbacks with a weighted value.", additive=True, internal=True),
    ),
    ratios=(Ratio("avg_weighted_feedback", "weighted_sum", "weighted_count", "Mean of value times weight."),),
)  # fmt: skip
