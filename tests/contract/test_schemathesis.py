"""What the OpenAPI document says of a route holds for whatever is sent to it: schemathesis, with all its checks.

No answer is of the 5xx, none has a status, a type, a header or a shape that is not documented, whatever is wrong with
the request; and nothing is answered without its key. Requests are made from the document, a part of their values is
of things that exist, and every run makes the same. `make fuzz` makes more of them.

Of schemathesis' own checks only one is left out: a request that fits the schema may still be one that cannot be done
(an end before its start, a name of nothing), and 400 with its reason is then the documented answer.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, reject, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import positive_data_acceptance

from api.app import ROUTERS
from api.permissions import KeyKind
from tests.factories import rows
from tests.factories.app import NOW, auth, installed, serving, store
from warehouse.catalog.feedbacks import FEEDBACKS
from warehouse.catalog.generations import GENERATIONS

pytestmark = [pytest.mark.slow, pytest.mark.one_database]
EXAMPLES = int(os.environ.get("GATELEDGER_FUZZ_EXAMPLES") or 0)
"""Requests of each kind to each route; without it two of one kind, which is another from route to route."""
BOTH = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
OPERATIONS = sorted(
    f"{route.method} {route.path.replace(':path}', '}')}"
    for router in ROUTERS
    for route in router.declared
    if route.options.get("include_in_schema", True)
)


@dataclass(frozen=True)
class World:
    """A running app with rows and people, and what exists in it."""

    schema: BaseSchema
    keys: tuple[str, ...]
    things: tuple[str, ...]
    """Ids and slugs of what exists, whatever it is."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with ExitStack() as stack:
        here = stack.enter_context(installed(tmp_path_factory.mktemp("fuzzed")))
        client = stack.enter_context(serving(here))
        workspace = here.workspace("Prod")
        member = here.colleague("member@acme.example", workspace.id)
        key = here.key()
        own = here.key(KeyKind.WORKSPACE_USER, workspace_id=workspace.id, user_id=member)
        service = here.key(KeyKind.WORKSPACE_SERVICE, workspace_id=workspace.id)
        owned = {"organisation_id": here.first.organisation_id, "workspace_slug": workspace.slug}
        generations = rows.generations(5, 200)
        requests = [{**line, **owned} for line in generations.to_pylist()]
        given_ = [{**line, **owned} for line in rows.feedbacks(6, generations, 40).to_pylist()]
        store(client, GENERATIONS, rows.as_generations(requests))
        store(client, FEEDBACKS, rows.as_feedbacks(given_), "feedback")
        listed = client.get("/v1/api-keys", headers=auth(here.admin_key)).json()["data"]
        things = (
            *(each["id"] for each in listed),
            *(workspace.id, workspace.slug, member, here.first.organisation_id, requests[0]["id"]),
            *(given_[0]["id"], next(line["trace_id"] for line in requests if line["trace_id"])),
        )
        schema = schemathesis.openapi.from_asgi("/openapi.json", client.app)
        yield World(schema, (here.admin_key, key, own, service), things)


_SPAN = {
    "time_of_generation_min": (NOW - timedelta(days=9)).isoformat(),
    "time_of_generation_max": NOW.date().isoformat(),
    "tz": "Asia/Kolkata",
}
_ALSO = {"group_by": "model,metadata.team", "order_by": "cost", "having": "requests>1", "current_page": "0"}
"""Values that can be meant; what the document makes of a plain text seldom can."""


def sensible(random: Any, world: World, case: Any) -> None:
    """Puts what exists, and times that can be meant, in the place of some values."""
    for name in case.path_parameters or {}:
        if name not in ("groupBy", "type", "sub_type", "provider") and random.random() < 0.7:
            case.path_parameters[name] = random.choice(world.things)
    query = case.query if case.query is not None else {}
    for name, value in {**_SPAN, **_ALSO}.items():
        if name in query and random.random() < 0.85:
            query[name] = value
    for name in set(query) - set(_SPAN) - set(_ALSO):
        if random.random() < 0.4:
            del query[name]


@pytest.mark.parametrize(
    ("label", "mode"),
    [(label, mode) for place, label in enumerate(OPERATIONS) for mode in (BOTH if EXAMPLES else (BOTH[place % 2],))],
    ids=lambda of: of if isinstance(of, str) else of.name.lower(),
)
def test_every_answer_is_a_documented_one(world: World, label: str, mode: GenerationMode) -> None:
    method, _, path = label.partition(" ")
    operation = world.schema[path][method]
    cases = operation.as_strategy(generation_mode=mode)

    @seed(20261123)
    @settings(
        max_examples=EXAMPLES or 2,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(cases, st.randoms(use_true_random=False))
    def check(case: Any, random: Any) -> None:
        if mode is GenerationMode.POSITIVE:
            sensible(random, world, case)
        elif "" in (case.query or {}).values():
            reject()  # clients send blanks for what they leave out, and mean nothing by them
        headers = auth(random.choice(world.keys))
        answer = case.call(headers=headers)
        case.validate_response(answer, headers=headers, excluded_checks=[positive_data_acceptance])

    if mode is GenerationMode.NEGATIVE:
        with suppress(Unsatisfiable):  # of a request without any part nothing can be wrong
            check()
    else:
        check()
