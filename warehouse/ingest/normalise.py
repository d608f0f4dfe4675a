"""Raw text frames become typed frames of a dataset's rows, and a reason for every record that cannot be a row."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from warehouse.catalog.feedbacks import FEEDBACKS
from warehouse.catalog.generations import BUCKETS, GENERATIONS, REQUEST
from warehouse.catalog.model import Dataset, Kind, Unit
from warehouse.errors import InvalidInput, UnknownName
from warehouse.ingest import values
from warehouse.ingest.fields import (
    FIELDS,
    LISTS,
    METADATA_KEY,
    METADATA_VALUE,
    REPORTED_COST_FIELDS,
    raw_schema,
    text_fields,
)
from warehouse.ingest.ownership import Ownership
from warehouse.ingest.promoted import with_promoted
from warehouse.ingest.quantities import settle_quantities
from warehouse.ingest.served import MODES, STANDARD
from warehouse.ingest.units import settle_units

PIECE, INDEX, OWNER = "_piece", "_index", "_owner"
"""Where a row came from: the piece within the batch, the record within the piece, the owner among several."""

COST_UNIT, TIME_UNIT = "cost_unit", "time_unit"
UNITS: Mapping[str, Mapping[str, int]] = {COST_UNIT: {"cents": 1, "usd": 100}, TIME_UNIT: {"ms": 1, "s": 1000}}
"""Constants that are not columns: the unit of incoming costs and durations → how many of ours it is."""

_BOOLEANS = tuple(c.name for c in REQUEST if c.kind is Kind.BOOLEAN)
_COUNTS = tuple(c.name for c in (*REQUEST, *BUCKETS) if c.kind is Kind.INTEGER)
MILLISECOND_FIELDS = frozenset(c.name for c in REQUEST if c.unit is Unit.MILLISECONDS)
_SIGNED = {"retry_success_count": (-1, values.MAX_COUNT), "response_status_code": (0, 999)}


@dataclass(frozen=True, slots=True)
class Normalised:
    """Rows that can be stored, and (piece, index, reason, detail) of those that cannot."""

    frame: pl.DataFrame
    rejects: Sequence[tuple[int, int, str, str]]


def check_constants(dataset: Dataset, constants: Mapping[str, str]) -> None:
    """Nothing, when every constant is a raw column or a known unit. Raises: UnknownName, InvalidInput."""
    for name, value in constants.items():
        if name in UNITS:
            if value.strip().lower() not in UNITS[name]:
                raise InvalidInput(f"'{value}' is not a {name}; allowed: {', '.join(UNITS[name])}.")
        elif name == "id":
            raise InvalidInput("id is what tells records apart: it cannot be the same for all of them.")
        elif name not in FIELDS[dataset.name] or name in LISTS:
            raise UnknownName("column", name, (*FIELDS[dataset.name], *UNITS))


def normalise(
    raw: pl.DataFrame,
    dataset: Dataset,
    owners: Sequence[Ownership],
    constants: Mapping[str, str],
    *,
    is_tidy: bool = False,
) -> Normalised:
    """Typed rows of a dataset from a raw frame; `is_tidy` where none of its texts is blank or too long.

    Shape: columns of the dataset that a record fills, `PIECE` and `INDEX`; for generations also `usage_known`.
    `raw` holds `PIECE`, `INDEX`, perhaps `OWNER` (0 where absent), and any raw columns as text.
    """
    check_constants(dataset, constants)
    # Else Polars does it in the midst, after every part was looked at piece by piece.
    frame = _complete(raw.rechunk(), dataset, constants)
    problems = values.Problems(frame.height)
    if not is_tidy or constants:
        frame = values.blanks_to_null(frame, [name for name, kind in frame.schema.items() if kind == pl.String()])
        values.text_lengths(frame, text_fields(dataset), problems)
    frame = _owned(frame, owners, problems)
    if dataset is GENERATIONS:
        frame = _generations(frame, constants, problems)
    elif dataset is FEEDBACKS:
        frame = _feedbacks(frame, problems)
    else:
        raise InvalidInput(f"Records of {dataset.name} cannot be loaded.")
    frame = _metadata(frame, problems)
    if not problems.any():
        return Normalised(frame, ())
    where = frame.select(PIECE, INDEX).rows()
    rejects = [(*where[row], reason, detail) for row, reason, detail in problems.each()]
    return Normalised(frame.filter(~problems.bad()), rejects)


def _complete(raw: pl.DataFrame, dataset: Dataset, constants: Mapping[str, str]) -> pl.DataFrame:
    schema = raw_schema(dataset)
    columns: list[pl.Expr] = []
    for name, kind in schema.items():
        if name in constants:
            columns.append(pl.lit(constants[name], dtype=pl.String).alias(name))
        elif name in raw.columns:
            columns.append(pl.col(name))
        else:
            columns.append(pl.lit(None, dtype=kind).alias(name))
    owner = pl.col(OWNER) if OWNER in raw.columns else pl.lit(0, dtype=pl.Int64).alias(OWNER)
    return raw.select(PIECE, INDEX, owner, *columns)


def _owned(frame: pl.DataFrame, owners: Sequence[Ownership], problems: values.Problems) -> pl.DataFrame:
    """Rows that name nobody take their owner's names; names that the owner may not use are problems."""
    keys = [OWNER, "organisation_id", "workspace_slug"]
    found = frame.select(keys).unique()
    answers = [owners[owner].resolve(organisation, workspace) for owner, organisation, workspace in found.iter_rows()]
    reasons = pl.Series(
        "_refused", [answer if isinstance(answer, str) else None for answer in answers], dtype=pl.String
    )
    if reasons.null_count() < len(reasons):
        refused = frame.select(keys).join(
            found.with_columns(reasons), on=keys, how="left", nulls_equal=True, maintain_order="left"
        )
        for reason in reasons.drop_nulls().unique().sort():
            shown = frame["workspace_slug" if "workspace" in reason else "organisation_id"]
            problems.add(refused["_refused"] == reason, reason, shown)

    def given(pick: Callable[[Ownership], str]) -> pl.Expr:
        if len(owners) == 1:
            return pl.lit(pick(owners[0]))
        return pl.col(OWNER).replace_strict(dict(enumerate(map(pick, owners))), return_dtype=pl.String)

    own = given(lambda owner: owner.organisation_id)
    frame = frame.with_columns(
        pl.col("organisation_id").fill_null(own),
        pl.col("workspace_slug").fill_null(given(lambda owner: owner.workspace_slug)),
    )
    if "organisation_name" in frame.columns and frame["organisation_name"].null_count():
        name = pl.when(pl.col("organisation_id") == own).then(given(lambda owner: owner.organisation_name))
        frame = frame.with_columns(pl.coalesce("organisation_name", name))
    return frame.drop(OWNER)


def _generations(frame: pl.DataFrame, constants: Mapping[str, str], problems: values.Problems) -> pl.DataFrame:
    problems.add(frame["id"].is_null(), "id is missing")
    created_at = values.instants(frame["created_at"], problems, required=True)
    numbers = _numbers(frame, UNITS[TIME_UNIT][constants.get(TIME_UNIT, "ms").strip().lower()], problems)
    flags = values.booleans(frame, _BOOLEANS, problems)
    cost = _reported_cost(frame, UNITS[COST_UNIT][constants.get(COST_UNIT, "cents").strip().lower()], problems)
    frame = frame.drop(REPORTED_COST_FIELDS).with_columns(
        created_at,
        *numbers,
        *flags,
        cost,
        cost_currency=pl.lit("USD"),
        cache_status=pl.col("cache_status").str.to_uppercase(),
    )
    status = pl.col("response_status_code")
    frame = frame.with_columns(pl.coalesce("is_success", status.is_between(200, 299)))
    if frame["execution_mode"].null_count() < frame.height:
        modes: dict[str, str | None] = {**MODES, **dict.fromkeys(STANDARD)}
        frame = frame.with_columns(pl.col("execution_mode").str.to_lowercase().replace(modes))
    return settle_units(settle_quantities(frame, problems))


def _numbers(frame: pl.DataFrame, ms_per_unit: int, problems: values.Problems) -> list[pl.Series]:
    if ms_per_unit != 1:
        scaled = [pl.col(name).cast(pl.Float64, strict=False) * ms_per_unit for name in MILLISECOND_FIELDS]
        texts = frame.select(pl.coalesce(one.cast(pl.String), one.meta.output_name()) for one in scaled)
        frame = frame.with_columns(texts)
    numbers = values.integers(frame, _COUNTS, MILLISECOND_FIELDS, problems)
    return [values.within(one, *_SIGNED.get(one.name, (0, values.MAX_COUNT)), problems) for one in numbers]


def _reported_cost(frame: pl.DataFrame, cents_per_unit: int, problems: values.Problems) -> pl.Series:
    given = frame.select(pl.coalesce(REPORTED_COST_FIELDS).alias("reported_cost")).to_series()
    currency = frame["cost_currency"].str.to_uppercase()
    foreign = (currency != "USD") & given.is_not_null()
    problems.add(foreign, "cost_currency is not USD", frame["cost_currency"])
    return values.money_cents(given, cents_per_unit, problems)


def _feedbacks(frame: pl.DataFrame, problems: values.Problems) -> pl.DataFrame:
    problems.add(frame["id"].is_null(), "id is missing")
    problems.add(frame["trace_id"].is_null(), "trace_id is missing")
    problems.add(frame["value"].is_null(), "value is missing")
    [value] = values.integers(frame, ["value"], frozenset(), problems)
    problems.add(~value.is_between(-10, 10), "value is not from -10 to 10", frame["value"])
    weight = values.floats(frame["weight"].fill_null("1"), 0, 1, problems)
    created_at = values.instants(frame["created_at"], problems, required=True)
    updated_at = values.instants(frame["last_updated_at"], problems, required=False)
    frame = frame.with_columns(created_at, value, weight, updated_at.alias("last_updated_at"))
    return frame.with_columns(weighted=pl.col("value") * pl.col("weight"))


def _metadata(frame: pl.DataFrame, problems: values.Problems) -> pl.DataFrame:
    """Lists that are never NULL and always parallel; a promoted key is in its column and in the lists."""
    empty = pl.lit([], dtype=pl.List(pl.String()))
    frame = frame.with_columns(pl.col(METADATA_KEY, METADATA_VALUE).fill_null(empty))
    sizes = frame.select(keys=pl.col(METADATA_KEY).list.len(), values=pl.col(METADATA_VALUE).list.len())
    uneven = sizes["keys"] != sizes["values"]
    if uneven.any():
        problems.add(uneven, "metadata keys and values differ in number")
        frame = frame.with_columns(pl.when(~uneven).then(pl.col(METADATA_KEY, METADATA_VALUE)).otherwise(empty))
    if frame.select(pl.col(METADATA_VALUE).explode(empty_as_null=False).is_null().any()).item():
        frame = frame.with_columns(pl.col(METADATA_VALUE).list.eval(pl.element().fill_null("")))
    return with_promoted(frame)
