"""The columnar arithmetic equals the Decimal reference to the last digit, whatever the price and the usage."""

from decimal import Decimal

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.factories.prices import BUCKET_NAMES, MemoryLevel, priced, times, usage
from warehouse.pricing.book import Listing, PriceBook
from warehouse.pricing.cost import price
from warehouse.pricing.reference import cost_of
from warehouse.pricing.tariff import Facets, choose
from warehouse.pricing.units import (
    BY_VARIABLE,
    COST_COLUMNS,
    INPUT_COLUMNS,
    OUTPUT_COLUMNS,
    RATE_NAMES,
    TOKEN_UNITS,
)
from warehouse.settings import CostPolicy

# Both tidy prices and what float arithmetic leaves in real files (20 digits and more).
PRICES = st.one_of(
    st.sampled_from([0, 1, 0.00025, 2.5e-05, 0.00007499999999999999, 3.625e-07, 1.3, 12]),
    st.floats(min_value=0, max_value=20, allow_subnormal=False).map(lambda value: value if value > 1e-9 else 0),
)
PRICE = PRICES.map(lambda value: {"price": value})
UNITS = ("web_search", "file_search", "video_seconds", "routing_units", *sorted(TOKEN_UNITS))
SIZES = ("default", "1024x1024", "1024x1792")
QUALITIES = ("default", "standard", "hd")
REFERENCES = st.one_of(
    st.sampled_from(sorted(BY_VARIABLE)),
    st.sampled_from([f"rates.{name}" for name in sorted(RATE_NAMES)]),
    st.sampled_from(["rates.image", "0", "1", "0.5"]),
).map(lambda value: {"value": value})
LINEAR = st.tuples(st.sampled_from(sorted(BY_VARIABLE)), st.sampled_from(sorted(RATE_NAMES))).map(
    lambda pair: times(pair[0], f"rates.{pair[1]}")
)
NODES = st.one_of(
    LINEAR,
    st.lists(LINEAR, min_size=1, max_size=5).map(lambda nodes: {"operation": "sum", "operands": nodes}),
    st.recursive(
        REFERENCES,
        lambda inner: st.builds(
            lambda operation, operands: {"operation": operation, "operands": operands},
            st.sampled_from(["sum", "multiply"]),
            st.lists(inner, min_size=1, max_size=3),
        ),
        max_leaves=5,
    ),
)
CALCULATIONS = st.one_of(st.none(), st.fixed_dictionaries({"request": NODES, "response": NODES}))


def _tables(*, with_image: bool = True):
    image = st.dictionaries(
        st.sampled_from(QUALITIES), st.dictionaries(st.sampled_from(SIZES), PRICE, max_size=3), max_size=3
    )
    units = st.dictionaries(st.sampled_from(UNITS), PRICE, max_size=4)
    rates = st.dictionaries(st.sampled_from(sorted(RATE_NAMES)), PRICE, max_size=8)
    extra = {"image": image, "additional_units": units} if with_image else {"additional_units": units}
    return st.builds(lambda plain, more: plain | more, rates, st.fixed_dictionaries({}, optional=extra))


@st.composite
def entries(draw):
    config = {"pay_as_you_go": draw(_tables()), "calculate": draw(CALCULATIONS)}
    if draw(st.booleans()):
        config["fixed_cost"] = draw(st.dictionaries(st.sampled_from(["request", "response"]), PRICE))
    if draw(st.booleans()):
        config["batch_config"] = draw(_tables(with_image=False))
    entry = {"pricing_config": config}
    if draw(st.booleans()):
        tiers = st.dictionaries(
            st.sampled_from(["lte-1k", "gt-1k"]),
            _tables().map(lambda table: {"pricing_config": {"pay_as_you_go": table}}),
        )
        modes = st.dictionaries(
            st.sampled_from(["standard", "batch", "priority"]), tiers.map(lambda found: {"context_tiers": found})
        )
        regions = st.dictionaries(
            st.sampled_from(["default", "us-east5", "eu,us"]), modes.map(lambda m: {"execution_modes": m})
        )
        entry["custom_pricing"] = {"context_tier_map": {"0": "lte-1k", "1000": "gt-1k"}, "regions": draw(regions)}
    return entry


COUNTS = st.one_of(st.none(), st.just(0), st.integers(min_value=0, max_value=2_000))
ROWS = st.fixed_dictionaries(
    dict.fromkeys(BUCKET_NAMES, COUNTS)
    | {
        "generated_images": st.one_of(st.none(), st.integers(min_value=0, max_value=4)),
        "extra_units": st.lists(
            st.fixed_dictionaries({"unit": st.sampled_from(UNITS), "quantity": st.integers(min_value=1, max_value=9)}),
            max_size=3,
        ),
        "region": st.sampled_from([None, "us-east5", "us", "mars"]),
        "execution_mode": st.sampled_from([None, "batch", "priority"]),
        "image_quality": st.sampled_from([None, "hd", "odd"]),
        "image_size": st.sampled_from([None, "1024x1792", "odd"]),
    }
)


def _expected(book, row):
    listing = book.listing("acme", row["ai_model"])
    assert isinstance(listing, Listing)
    total = sum(row[name] or 0 for name in INPUT_COLUMNS)
    price_row = listing.row(row["created_at"], total)
    facets = Facets(
        prompt_tokens=total,
        has_images=bool(row["generated_images"]),
        has_output_tokens=any(row[name] for name in OUTPUT_COLUMNS),
        **{name: row[name] for name in ("region", "execution_mode", "image_quality", "image_size")},
    )
    config, _ = choose(price_row.default, price_row.pricing, facets)
    units = {}
    for unit, quantity in zip(row["units.name"], row["units.quantity"], strict=True):
        units[unit] = units.get(unit, 0) + Decimal(quantity)
    return cost_of(config, {name: row[name] or 0 for name in BUCKET_NAMES}, facets, units)


@settings(max_examples=80, deadline=None)
@given(
    default=entries(), models=st.lists(entries(), min_size=1, max_size=3), rows=st.lists(ROWS, min_size=1, max_size=6)
)
def test_columns_equal_the_decimal_reference(default, models, rows):
    files = {"default": default} | {f"m{index}": entry for index, entry in enumerate(models)}
    book = PriceBook([MemoryLevel({"acme": files})])
    frame = usage(*(row | {"ai_model": f"m{index % len(models)}"} for index, row in enumerate(rows)))
    out = price(frame, book, CostPolicy.COMPUTED).to_dicts()
    for given_row, row in zip(frame.to_dicts(), out, strict=True):
        if row["unpriced_reason"] in {"no_price", "missing_quantity"}:
            continue
        expected = _expected(book, given_row)
        total = sum(expected.values(), Decimal(0))
        if total >= 10**6:
            assert row["unpriced_reason"] == "cost_too_large"
            continue
        assert {name: row[name] for name in COST_COLUMNS} == expected
        assert row["computed_cost"] == total
        assert min(expected.values()) >= 0


@settings(max_examples=50, deadline=None)
@given(
    entry=entries(), row=ROWS, more=st.sampled_from(BUCKET_NAMES[:-1]), extra=st.integers(min_value=1, max_value=10**6)
)
def test_more_tokens_never_cost_less(entry, row, more, extra):
    entry.pop("custom_pricing", None)  # a tier for long prompts may be cheaper; nothing else may be
    book = PriceBook([MemoryLevel({"acme": {"default": {"pricing_config": {}}, "m": entry}})])
    row = row | {"image_output_tokens": row["image_output_tokens"] or 1}  # an answer stays an answer of the same kind
    less, greater = priced(book, row, row | {more: (row[more] or 0) + extra})
    if less["computed_cost"] is not None and greater["computed_cost"] is not None:
        assert greater["computed_cost"] >= less["computed_cost"]


@settings(max_examples=30, deadline=None)
@given(
    rates=st.dictionaries(
        st.sampled_from(["request_token", "cache_read_input_token", "response_token"]), PRICE, min_size=1
    ),
    tokens=st.lists(st.integers(min_value=0, max_value=2**62), min_size=3, max_size=3),
)
def test_any_count_is_either_exact_or_too_large(rates, tokens):
    book = PriceBook(
        [MemoryLevel({"acme": {"default": {"pricing_config": {}}, "m": {"pricing_config": {"pay_as_you_go": rates}}}})]
    )
    row = dict(zip(("uncached_input_tokens", "cache_read_tokens", "output_tokens"), tokens, strict=True))
    listing = book.listing("acme", "m")
    config, _ = choose(listing.bands[0].rows[0].default, listing.bands[0].rows[0].pricing, Facets())
    expected = cost_of(config, row, Facets(has_output_tokens=tokens[2] > 0))
    (out,) = priced(book, row)
    total = sum(expected.values(), Decimal(0))
    if total < 10**6:
        assert out["computed_cost"] == total
        assert {name: out[name] for name in COST_COLUMNS} == expected
    else:
        assert out["unpriced_reason"] == "cost_too_large"


def test_a_million_rows_sum_without_loss():
    """The sum of the parts is the sum of the costs, over many rows of many prices."""
    models = {
        f"m{index}": {"pricing_config": {"pay_as_you_go": {"request_token": {"price": index * 1e-05 / 3}}}}
        for index in range(50)
    }
    book = PriceBook([MemoryLevel({"acme": {"default": {"pricing_config": {}}} | models})])
    frame = (
        usage({})
        .drop("ai_model", "uncached_input_tokens")
        .join(
            pl.select(
                pl.format("m{}", pl.int_range(100_000) % 50).alias("ai_model"),
                (pl.int_range(100_000) * 7919 % 100_003).alias("uncached_input_tokens"),
            ),
            how="cross",
        )
    )
    out = price(frame, book, CostPolicy.COMPUTED)
    sums = out.select(pl.col("computed_cost", *COST_COLUMNS).cast(pl.Decimal(38, 12)).sum()).row(0, named=True)
    assert sums["computed_cost"] == sum((sums[name] for name in COST_COLUMNS), Decimal(0)) > 0
