"""The OpenAPI document: current, made from the catalog, and true about what is served."""

import json
from pathlib import Path
from typing import Any

import pytest

from api import openapi
from api.analytics.graphs import GRAPHS
from api.app import ROUTERS, create_app
from tests.factories.app import auth, installed, serving, settings_in
from warehouse.catalog import registry
from warehouse.catalog.generations import GENERATIONS
from warehouse.catalog.model import Operator

KEPT = Path(__file__).parents[2] / "docs" / "openapi.json"


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return create_app(settings_in(tmp_path_factory.mktemp("openapi"))).openapi()


def test_the_kept_document_is_the_newest(tmp_path: Path) -> None:
    newest = openapi.text(create_app(settings_in(tmp_path)))
    assert KEPT.read_bytes() == newest, "run: python -m api.openapi docs/openapi.json"


def test_the_served_document_is_the_kept_one(tmp_path: Path) -> None:
    with installed(tmp_path) as here, serving(here) as client:
        assert client.get("/openapi.json").json() == json.loads(KEPT.read_bytes())


def test_only_v1_is_documented_and_every_route_is(document: dict[str, Any]) -> None:
    served = {
        (route.path.replace(":path}", "}"), route.method.lower())
        for router in ROUTERS
        for route in router.declared
        if route.options.get("include_in_schema", True)
    }
    documented = {(path, method) for path, methods in document["paths"].items() for method in methods}
    assert documented == served
    bare = {path for path in document["paths"] if not path.startswith("/v1/")}
    assert bare == {"/health", "/health/live", "/health/ready", "/metrics"}


def test_operations_have_one_id_each_a_summary_and_a_permission(document: dict[str, Any]) -> None:
    operations = [operation for methods in document["paths"].values() for operation in methods.values()]
    ids = [operation["operationId"] for operation in operations]
    assert len(ids) == len(set(ids))
    for operation in operations:
        assert operation["summary"]
        permission = operation["x-gateledger-permission"]
        if permission.get("public"):
            assert operation["security"] == []
        else:
            assert permission["any_of"]
            assert {"400", "401", "403", "429", "500", "503"} <= operation["responses"].keys()
            for status, response in operation["responses"].items():
                if status >= "400":
                    schema = response["content"]["application/json"]["schema"]
                    assert schema == {"$ref": "#/components/schemas/ErrorAnswer"}
    assert {name for one in document["security"] for name in one} == set(document["components"]["securitySchemes"])


def test_what_names_a_thing_may_be_404_and_what_writes_409(document: dict[str, Any]) -> None:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert ("404" in operation["responses"]) >= ("{" in path), path
            assert ("409" in operation["responses"]) >= (method != "get"), path


def test_there_is_no_422_and_no_dangling_reference(document: dict[str, Any]) -> None:
    text = json.dumps(document)
    assert "422" not in {s for m in document["paths"].values() for o in m.values() for s in o["responses"]}
    assert "HTTPValidationError" not in text
    schemas = document["components"]["schemas"]
    for part in text.split('"$ref": "#/components/schemas/')[1:]:
        assert part.split('"')[0] in schemas


@pytest.mark.parametrize("path", ["/v1/analytics/groups/{groupBy}", "/v1/logs/groups/{groupBy}"])
class TestGroups:
    def parameters(self, document: dict[str, Any], path: str) -> dict[str, dict[str, Any]]:
        listed = document["paths"][path]["get"]["parameters"]
        assert len({one["name"] for one in listed}) == len(listed)
        return {one["name"]: one for one in listed}

    def test_group_bys_and_columns_are_the_catalogs(self, document: dict[str, Any], path: str) -> None:
        parameters = self.parameters(document, path)
        assert parameters["groupBy"]["schema"]["enum"] == [one.name for one in GENERATIONS.dimensions]
        columns = [one.name for one in registry.public_measures(GENERATIONS)]
        assert parameters["columns"]["schema"]["items"]["enum"] == columns
        row = document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        properties = row["properties"]["data"]["items"]["properties"]
        assert set(properties) == {*columns, *(one.key for one in GENERATIONS.dimensions), "object", "other"}

    def test_the_contracts_names_are_all_there(self, document: dict[str, Any], path: str) -> None:
        parameters = self.parameters(document, path)
        assert parameters["groupBy"]["schema"]["enum"] == [
            "ai_service", "model", "status_code", "api_key", "config", "workspace", "provider", "prompt",
            "unpriced_reason", "user", "retries",
        ]  # fmt: skip
        assert set(parameters["columns"]["schema"]["items"]["enum"]) >= {
            "cost", "total_tokens", "avg_tokens", "avg_input_tokens", "avg_output_tokens", "avg_latency", "p95_latency",
            "p99_latency", "success_rate", "error_count", "cache_hit_rate", "last_seen", "first_seen",
        }  # fmt: skip

    def test_every_filter_is_documented_with_its_bounds(self, document: dict[str, Any], path: str) -> None:
        parameters = self.parameters(document, path)
        for one in GENERATIONS.filters:
            schema = parameters[one.name]["schema"]
            if one.operator in (Operator.AT_LEAST, Operator.AT_MOST):
                assert (schema.get("minimum"), schema.get("maximum")) == (one.minimum, one.maximum)
            elif one.allowed:
                assert schema["items"]["enum"] == list(one.allowed)
        assert parameters["time_of_generation_min"]["required"]
        assert parameters["time_of_generation_max"]["required"]
        assert not parameters["workspace_slug"].get("required", False)

    def test_a_real_answer_has_the_documented_fields(self, document: dict[str, Any], path: str, tmp_path: Path) -> None:
        columns = self.parameters(document, path)["columns"]["schema"]["items"]["enum"]
        time = "time_of_generation_min=2026-01-01&time_of_generation_max=2026-02-01"
        with installed(tmp_path) as here, serving(here) as client:
            url = f"{path.format(groupBy='model')}?{time}&columns={','.join(columns)}"
            answer = client.get(url, headers=auth(here.admin_key)).json()
        schema = document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        assert set(answer) == set(schema["required"])


class TestGraphs:
    def test_every_graph_has_its_fields_with_units(self, document: dict[str, Any]) -> None:
        for graph in GRAPHS:
            operation = document["paths"][f"/v1/analytics/graphs/{graph.path}"]["get"]
            schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
            point = schema["properties"]["data_points"]["items"]
            assert point["required"] == list(point["properties"])
            assert list(point["properties"]) == [graph.key or "timestamp", *(part.name for part in graph.points)]
            assert schema["required"] == ["object", "summary", "data_points"]
            shape = schema["properties"]["previous"]["properties"]
            assert shape == {name: schema["properties"][name] for name in schema["required"]}
            parameters = {one["name"]: one for one in operation["parameters"]}
            assert ("granularity" in parameters) == (not graph.key)
            assert {"tz", "compare", "workspace_slug", "cache_status", "as_known_at"} <= parameters.keys()
        cost = document["paths"]["/v1/analytics/graphs/cost"]["get"]["responses"]["200"]["content"]["application/json"]
        total = cost["schema"]["properties"]["summary"]["properties"]["total"]
        assert total["type"] == ["number", "null"]
        assert total["description"].endswith("Unit: USD cents.")

    def test_the_widths_are_those_of_the_table(self, document: dict[str, Any]) -> None:
        listed = document["paths"]["/v1/analytics/graphs/cost"]["get"]["parameters"]
        granularity = next(one for one in listed if one["name"] == "granularity")
        assert granularity["schema"]["enum"] == ["minute", "5m", "15m", "hour", "day", "week", "month"]
