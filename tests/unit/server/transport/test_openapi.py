"""The OpenAPI document and its page as functions of a model's metadata."""

from __future__ import annotations

from typing import Any

from openapi_spec_validator import OpenAPIV31SpecValidator, validate

from atheria_server.models.contract import ModelMetadata, TensorSpec
from atheria_server.transport.docs_page import docs_page
from atheria_server.transport.openapi import openapi_document

NOTHING = ModelMetadata(inputs=(), outputs=())
X = TensorSpec(name="x<1>", datatype="FP32", shape=(-1, 3))
SEED = TensorSpec(name="seed", datatype="INT64", shape=(-1,), optional=True)


def document(metadata: ModelMetadata = NOTHING, model: str = "m", **options: Any) -> dict[str, Any]:
    given: dict[str, Any] = {"example": None, "litserve": {}, **options}
    return openapi_document(model=model, model_version="1", server_version="0.1", metadata=metadata, **given)


def test_a_model_without_declared_tensors_takes_any_tensor() -> None:
    found = document()
    validate(found, cls=OpenAPIV31SpecValidator)
    tensor = found["components"]["schemas"]["InferRequest"]["properties"]["inputs"]["items"]
    assert tensor["properties"]["name"] == {"type": "string"}
    assert tensor["required"] == ["name", "datatype", "shape"]


def test_declared_tensors_are_named_with_their_rank() -> None:
    found = document(ModelMetadata(inputs=(X, SEED), outputs=(X,)))
    x, seed = found["components"]["schemas"]["InferRequest"]["properties"]["inputs"]["items"]["oneOf"]
    assert x["properties"]["name"] == {"const": "x<1>"}
    assert (x["properties"]["shape"]["minItems"], x["properties"]["shape"]["maxItems"]) == (2, 2)
    assert "may be left out" in seed["properties"]["shape"]["description"]
    assert "may be left out" not in x["properties"]["shape"]["description"]


def test_every_path_of_the_model_is_there_with_and_without_the_version() -> None:
    paths = document()["paths"]
    for rest in ("", "/ready", "/config", "/stats", "/infer", "/infer_stream", "/stream"):
        assert f"/v2/models/m{rest}" in paths
        assert f"/v2/models/m/versions/1{rest}" in paths


def test_a_name_with_odd_characters_is_quoted_in_paths() -> None:
    assert "/v2/models/a%2Fb%20c/infer" in document(model="a/b c")["paths"]


def test_routes_and_schemas_of_litserve_are_kept() -> None:
    litserve = {
        "paths": {"/predict": {"post": {"responses": {"200": {"description": "ok"}}}}},
        "components": {"schemas": {"Question": {"type": "object"}}},
    }
    found = document(litserve=litserve)
    validate(found, cls=OpenAPIV31SpecValidator)
    assert found["components"]["schemas"]["Question"] == {"type": "object"}
    assert "/predict" in docs_page(found, "http://h")


def test_the_page_escapes_what_comes_from_the_model_and_the_caller() -> None:
    example = {"inputs": [{"name": "<script>it's</script>"}]}
    metadata = ModelMetadata(inputs=(X,), outputs=(X,))
    page = docs_page(document(metadata, "<img src=x>", example=example), "http://h/<b>")
    assert "<script" not in page
    assert "<img" not in page
    assert "<b>" not in page
    assert "x&lt;1&gt;" in page


def test_a_single_quote_of_an_example_does_not_end_the_shells_quotes() -> None:
    page = docs_page(document(example={"inputs": [], "id": "it's"}), "http://h")
    assert "it&#x27;\\&#x27;&#x27;s" in page


def test_an_example_that_would_hide_the_page_is_left_to_the_document() -> None:
    page = docs_page(document(example={"inputs": [0] * 5000}), "http://h")
    assert "@request.json" in page
    assert len(page) < 100_000
