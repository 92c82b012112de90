"""The OpenAPI document against the specification, the server's routes, and what the calls answer in fact."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import pytest
import requests
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator, validate

from tests.integration.server.harness import Server

SECONDS = 60
JSON = "application/json"


@pytest.fixture(scope="module")
def typed() -> Iterator[Any]:
    with Server("python://user_apis:TypedLitAPI") as server:
        yield server


def document(server: Any) -> dict[str, Any]:
    answer = requests.get(f"{server.http}/openapi.json", timeout=SECONDS)
    assert answer.headers["content-type"] == JSON
    found: dict[str, Any] = answer.json()
    return found


def fits(found: dict[str, Any], operation: dict[str, Any], answer: requests.Response) -> None:
    """The answer's status is described, and its body has the described form."""
    described = operation["responses"][str(answer.status_code)]
    schema = described["content"][JSON]["schema"]
    whole = {**schema, "components": found["components"]}
    Draft202012Validator(whole).validate(answer.json())


@pytest.mark.parametrize("which", ["qca_server", "gate_server", "typed"])
def test_the_document_is_valid_openapi(which: str, request: pytest.FixtureRequest) -> None:
    found = document(request.getfixturevalue(which))
    validate(found, cls=OpenAPIV31SpecValidator)
    assert found["openapi"].startswith("3.1")


@pytest.mark.parametrize("which", ["qca_server", "gate_server", "typed"])
def test_every_described_call_exists_and_answers_as_described(
    which: str, request: pytest.FixtureRequest
) -> None:
    server = request.getfixturevalue(which)
    found = document(server)
    for path, operations in found["paths"].items():
        for method, operation in operations.items():
            if "101" in operation["responses"]:
                continue
            body = operation.get("requestBody", {}).get("content", {}).get(JSON, {}).get("example")
            answer = requests.request(method, server.http + path, json=body, timeout=SECONDS)
            assert answer.status_code not in (404, 405), (method, path)
            if path.startswith("/v2") and answer.headers["content-type"] == JSON:
                fits(found, operation, answer)


@pytest.mark.parametrize(("which", "inputs"), [("qca_server", ["seed"]), ("gate_server", ["x"])])
def test_the_example_is_a_call_that_the_model_answers(
    which: str, inputs: list[str], request: pytest.FixtureRequest
) -> None:
    server = request.getfixturevalue(which)
    found = document(server)
    operation = found["paths"][f"/v2/models/{server.name}/infer"]["post"]
    body = operation["requestBody"]["content"][JSON]
    assert [tensor["name"] for tensor in body["example"]["inputs"]] == inputs
    Draft202012Validator({**body["schema"], "components": found["components"]}).validate(body["example"])
    answer = requests.post(
        f"{server.http}/v2/models/{server.name}/infer", json=body["example"], timeout=SECONDS
    )
    assert answer.status_code == 200, answer.text
    fits(found, operation, answer)


def test_a_tensor_that_the_model_does_not_have_does_not_fit_the_schema(gate_server: Any) -> None:
    found = document(gate_server)
    schema = {"$ref": "#/components/schemas/InferRequest", "components": found["components"]}
    good = {"name": "x", "datatype": "FP32", "shape": [1, 1], "data": [1.0]}
    check = Draft202012Validator(schema)
    assert check.is_valid({"inputs": [good]})
    for wrong in ({"name": "y"}, {"datatype": "FP64"}, {"shape": [1]}, {"shape": ["1", 1]}):
        assert not check.is_valid({"inputs": [good | wrong]}), wrong


def test_the_routes_of_litserve_are_described_for_the_models_that_have_them(
    typed: Any, qca_server: Any
) -> None:
    found = document(typed)
    body = found["paths"]["/predict"]["post"]["requestBody"]["content"][JSON]["schema"]
    question = found["components"]["schemas"][body["$ref"].rpartition("/")[2]]
    assert question["properties"]["text"]["type"] == "string"
    assert "/predict" not in document(qca_server)["paths"]


class Page(HTMLParser):
    """What a page loads, links to and says."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "script":
            self.loaded.append("a script")
        self.loaded += [f"{tag} {values[key]}" for key in ("src", "data") if values.get(key)]
        if tag == "link":
            self.loaded.append(f"link {values.get('href')}")
        if tag == "a":
            self.links.append(values.get("href") or "")
        self.ids |= {values["id"] or ""} if "id" in values else set()

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_shows_every_call_and_loads_nothing(qca_server: Any) -> None:
    answer = requests.get(f"{qca_server.http}/docs", timeout=SECONDS)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    page = Page(answer.text)
    assert page.loaded == []
    for path in document(qca_server)["paths"]:
        assert path in page.text
    assert f"curl -X POST {qca_server.http}/v2/models/qca/infer" in page.text
    assert '"name": "seed"' in page.text
    inside = [link.removeprefix("#") for link in page.links if link.startswith("#")]
    assert inside
    assert set(inside) <= page.ids
    assert [link for link in page.links if not link.startswith("#")] == ["openapi.json"]
