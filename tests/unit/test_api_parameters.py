"""The query string of a grouped request: every quirk of the SDKs, every filter of the catalog, every refusal."""

from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import pytest
from starlette.datastructures import QueryParams

from api.analytics.listings import LISTINGS, Listing
from api.analytics.parameters import GroupsRequest, parse_groups, parse_listing
from api.errors import InvalidRequest
from warehouse.catalog import registry
from warehouse.catalog.generations import GENERATIONS
from warehouse.errors import InvalidInput, UnknownName
from warehouse.query.scope import TenantScope
from warehouse.query.spec import Condition, Having, Order

TIME = "time_of_generation_min=2026-01-01&time_of_generation_max=2026-02-01"


def parse(query: str = "", group_by: str = "model") -> GroupsRequest:
    request = parse_groups(group_by, QueryParams(f"{TIME}&{query}"))
    request.within(TenantScope("org"))
    return request


def test_only_the_request_count_unless_asked() -> None:
    request = parse()
    assert request.measures == ("requests",)
    assert request.by == request.asked == ("model",)
    assert request.order == (Order("requests", "desc"),)
    assert (request.page.number, request.page.size, request.include_total) == (0, 50, True)
    assert request.conditions == ()
    assert request.workspaces == ()


@pytest.mark.parametrize("dimension", [d.name for d in GENERATIONS.dimensions])
def test_each_group_by_of_the_catalog(dimension: str) -> None:
    assert parse(group_by=dimension).by == (dimension,)


@pytest.mark.parametrize("measure", [m.name for m in registry.public_measures(GENERATIONS)])
def test_each_column_of_the_catalog_can_be_asked_and_ordered_by(measure: str) -> None:
    request = parse(f"columns={measure}&order_by={measure}&order_by_type=ASC")
    assert request.measures == tuple(dict.fromkeys(("requests", measure)))
    assert request.order == (Order(measure, "asc"),)


def test_columns_are_a_list_with_blanks_and_repeats() -> None:
    assert parse("columns=cost,%20total_tokens%20,,cost&columns=last_seen").measures == (
        "requests", "cost", "total_tokens", "last_seen",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "value"), [("True", True), ("False", False), ("false", False), ("1", True), ("", True)]
)
def test_booleans_as_python_writes_them(text: str, value: bool) -> None:
    assert parse(f"include_total={text}").include_total is value


@pytest.mark.parametrize(
    ("query", "condition"),
    [
        ("total_units_min=5", Condition("total_units_min", 5)),
        ("cost_max=0.25", Condition("cost_max", Decimal("0.25"))),
        ("cost_min=0.000000000001", Condition("cost_min", Decimal("0.000000000001"))),
        ("status_code=401,%20403,", Condition("status_code", (401, 403))),
        ("status_code=401&status_code=403", Condition("status_code", (401, 403))),
        ("virtual_keys=a,b", Condition("virtual_keys", ("a", "b"))),
        ("weighted_feedback_min=-2.5", Condition("weighted_feedback_min", -2.5)),
        ("ai_org_model=openai__gpt-4o,%20x__a__b", Condition("ai_org_model", (("openai", "gpt-4o"), ("x", "a__b")))),
        ("cache_status=hit,SEMANTIC%20HIT", Condition("cache_status", ("hit", "SEMANTIC HIT"))),
        (
            'metadata={"team":"search","n":1,"ok":true,"f":1.5}',
            Condition("metadata", (("team", "search"), ("n", "1"), ("ok", "true"), ("f", "1.5"))),
        ),
    ],
)
def test_filters_become_conditions(query: str, condition: Condition) -> None:
    assert parse(query).conditions == (condition,)


def test_blank_filters_are_no_filters() -> None:
    blanks = urlencode(
        {f.name: " , " if f.minimum is None else "" for f in GENERATIONS.filters if f.name != "metadata"}
    )
    assert parse(blanks + "&metadata=&metadata={}").conditions == ()


def test_a_trailing_question_mark_and_unknown_keys_are_ignored() -> None:
    assert parse("foo=bar&config=x&a[]=1&?").conditions == ()


def test_more_dimensions_keep_the_name_they_were_asked_by() -> None:
    request = parse("group_by=ai_org,metadata.team,model,status_code")
    assert request.asked == ("model", "ai_org", "metadata.team", "status_code")
    assert request.by == ("model", "ai_service", "metadata.team", "status_code")
    assert parse("group_by=ai_org&order_by=ai_org&order_by_type=asc").order == (Order("ai_service", "asc"),)


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("having=cost>=abc", "having: 'cost>=abc' is not a column, one of >= <= != > < ="),
        ("having=cost", "having: 'cost' is not a column"),
        ("having=cost>1e3", "having: 'cost>1e3'"),
        ("having=price>1", "having: 'price' is unknown; allowed: requests, cost"),
        ("having=first_seen>1", "having: 'first_seen' is unknown"),
        ("having=cost>99999999999999999999", "having: cost is too large"),
        ("top=many", "top: 'many' is not a whole number from 1 to 100"),
        ("top=0", "top: '0'"),
        ("top=5&current_page=2", "leave current_page out"),
        ("other=true", "other: goes with top"),
        ("totals=perhaps", "totals: 'perhaps' is not true or false"),
        ("cache_status=warm", "Unknown value of cache_status 'warm'. Allowed: HIT"),
        ("cost_source=guessed", "Allowed: computed, reported, cache, ptu"),
        ("columns=costs", "Unknown column 'costs'. Did you mean cost"),
        ("columns=latency_sum", "Unknown column 'latency_sum'"),
        ("group_by=planet", "Unknown group-by 'planet'"),
        ("group_by=ai_model", "named twice"),
        ("group_by=ai_service,api_key,config,workspace,provider,prompt", "at most 6"),
        ("order_by=cost", "cannot order by 'cost'"),
        ("order_by=ai_model", "cannot order by 'ai_model'"),
        ("order_by_type=up", "allowed: asc, desc"),
        ("include_total=maybe", "include_total: 'maybe'"),
        ("current_page=-1", "current_page: '-1' is not a whole number from 0"),
        ("current_page=x", "current_page: 'x'"),
        ("page_size=101", "from 0 to 100"),
        ("page_size=1.5", "page_size: '1.5'"),
        ("total_units_min=many", "total_units_min: 'many' is not a whole number"),
        ("total_units_min=-1", "total_units_min is 0 or more"),
        ("total_units_min=99999999999999999999", "total_units_min is too large"),
        ("total_units_min=1_000", "total_units_min: '1_000'"),
        ("total_units_min=١٢", "not a whole number"),
        ("cost_min=NaN", "cost_min: 'NaN' is not a number"),
        ("cost_max=Infinity", "cost_max: 'Infinity' is not a number"),
        ("cost_max=1e999999", "cost_max"),
        ("cost_min=2&cost_max=1", "cost_min (2) is more than cost_max (1)"),
        ("status_code=ok", "status_code: 'ok' is not a whole number"),
        ("status_code=1000", "status_code is 999 or less"),
        ("weighted_feedback_min=-11", "weighted_feedback_min is -10 or more"),
        ("ai_org_model=gpt-4o", "ai_org_model: 'gpt-4o' is not provider__model"),
        ("ai_org_model=openai__", "is not provider__model"),
        ("metadata=team", "metadata: not JSON"),
        ("metadata=[1]", "metadata: not a JSON object"),
        ('metadata={"team":null}', "metadata.team: a text"),
        ('metadata={"team":{"a":1}}', "metadata.team: a text"),
    ],
)
def test_a_wrong_value_is_refused_with_what_is_allowed(query: str, says: str) -> None:
    with pytest.raises((InvalidRequest, InvalidInput)) as error:
        parse(query)
    assert says in str(error.value)


def test_groups_are_chosen_by_their_numbers() -> None:
    request = parse("having=cost>=100.5,%20requests%3E10&having=error_rate!=0")
    assert request.having == (
        Having("cost", ">=", Decimal("100.5")),
        Having("requests", ">", Decimal(10)),
        Having("error_rate", "!=", Decimal(0)),
    )
    assert parse("having=").having == ()


def test_the_first_groups_the_rest_and_the_totals() -> None:
    request = parse("top=7&other=True&totals=1&page_size=50&current_page=0")
    assert (request.page.number, request.page.size, request.other, request.totals) == (0, 7, True, True)
    plain = parse("page_size=3&current_page=2")
    assert (plain.page.number, plain.page.size, plain.other, plain.totals) == (2, 3, False, False)


@pytest.mark.parametrize("listing", LISTINGS, ids=lambda listing: listing.name)
def test_a_listing_has_its_columns_and_takes_more(listing: Listing) -> None:
    query = QueryParams(f"{TIME}&columns=p95_latency&group_by=status_code&order_by={listing.key}&order_by_type=asc")
    key = "a/b" if listing.dimension.endswith(".") else ""
    request = parse_listing(listing, key, query)
    assert request.asked == (listing.key, "status_code")
    assert request.by == (listing.dimension + key, "status_code")
    assert request.measures == ("requests", *listing.columns, "p95_latency")
    assert request.within(TenantScope("org")).order[0].direction == "asc"


def test_an_unknown_group_lists_the_allowed_ones() -> None:
    with pytest.raises(UnknownName) as error:
        parse(group_by="modle")
    assert "Did you mean model" in str(error.value)
    assert all(d.name in str(error.value) for d in GENERATIONS.dimensions)


@pytest.mark.parametrize("group_by", ["metadata.team", "ai_model", "", "users"])
def test_the_path_takes_only_the_documented_group_bys(group_by: str) -> None:
    with pytest.raises(UnknownName):
        parse(group_by=group_by)


def test_what_a_caller_names_as_workspace_is_kept_apart_from_the_conditions() -> None:
    request: Any = parse("workspace_slug=ws-a,%20ws-b&workspace_slug=")
    assert request.workspaces == ("ws-a", "ws-b")
    assert request.conditions == ()
