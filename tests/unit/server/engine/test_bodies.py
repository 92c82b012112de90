"""Bodies and answers of LitServe's own routes arrive in the other process as what they were."""

from __future__ import annotations

import asyncio
import json
from io import BytesIO
from pathlib import Path
from typing import Any

import litserve
import numpy as np
import pytest
from fastapi import HTTPException, UploadFile
from litserve.specs.openai import ChatCompletionRequest
from pydantic import BaseModel, Field, SecretStr, computed_field, field_validator
from starlette.background import BackgroundTask
from starlette.datastructures import FormData, Headers
from starlette.responses import FileResponse, RedirectResponse, Response, StreamingResponse

from atheria_server.core.errors import FailedError, InvalidCallError
from atheria_server.engine import bodies
from atheria_server.engine.request_type import RequestType


def wanted(annotation: Any = None, spec: Any = None) -> RequestType:
    """The request type of a LitAPI whose decode_request has this annotation."""

    class Api(litserve.LitAPI):
        def decode_request(self, request: Any) -> Any:
            return request

    if annotation is not None:
        Api.decode_request.__annotations__["request"] = annotation
    return RequestType(Api(spec=spec))


def arrived(kind: RequestType, payload: Any, sent: bytes | None = None) -> Any:
    """In the worker."""
    return bodies.unpack_request(kind, asyncio.run(bodies.pack_request(kind, payload, sent)))


def answered(value: Any) -> Any:
    """In the front."""
    return bodies.unpack_answer(bodies.pack_answer(value))


class Inner(BaseModel):
    size: float = Field(1.0, validation_alias="SIZE", serialization_alias="siZe")


class Question(BaseModel, extra="forbid"):
    text: str
    inner: Inner = Field(default_factory=Inner, alias="in")
    secret: SecretStr = SecretStr("")
    hidden: int = Field(0, exclude=True)

    @field_validator("text")
    @classmethod
    def shout(cls, text: str) -> str:
        return f"{text}!"

    @computed_field
    def length(self) -> int:
        return len(self.text)


def test_json_travels_as_its_caller_wrote_it() -> None:
    text = b' {"a": [1, 2.50, NaN, "\xc3\xa4"], "a": 3}'
    parts = asyncio.run(bodies.pack_request(wanted(), json.loads(text), text))
    assert parts[1] is text
    assert bodies.unpack_request(wanted(), parts) == {"a": 3}


def test_a_pydantic_body_is_made_again_of_the_callers_json_so_nothing_of_it_is_lost() -> None:
    text = b'{"text": "a", "in": {"SIZE": 2}, "secret": "s", "hidden": 7}'
    first = Question.model_validate(json.loads(text))
    again = arrived(wanted(Question), first, text)
    assert again == first
    assert (again.text, again.secret.get_secret_value(), again.hidden, again.inner.size) == ("a!", "s", 7, 2)
    assert again.model_fields_set == first.model_fields_set


def test_other_types_travel_by_their_fields_whatever_their_aliases() -> None:
    sent = [Inner.model_validate({"SIZE": float("inf")}), Inner()]
    again = arrived(wanted(list[Inner]), sent)
    assert again == sent
    assert [one.model_fields_set for one in again] == [{"size"}, set()]


def test_a_specs_request_keeps_what_the_spec_changed() -> None:
    text = {"messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}], "n": 3}
    request = ChatCompletionRequest.model_validate(text)
    request.n = 1
    again = arrived(wanted(spec=litserve.OpenAISpec()), request, json.dumps(text).encode())
    assert isinstance(again, ChatCompletionRequest)
    assert again == request


def upload(content: bytes, name: str) -> UploadFile:
    headers = Headers({"content-type": "image/png", "x-note": "\xe4"})
    return UploadFile(BytesIO(content), size=len(content), filename=name, headers=headers)


def test_forms_keep_their_order_repeated_names_and_files() -> None:
    form = FormData(
        [("a", "1"), ("file", upload(b"\x00\xff", "ä.png")), ("a", ""), ("file", upload(b"", "empty"))]
    )
    again = arrived(wanted(), form)
    assert isinstance(again, FormData)
    assert [name for name, _ in again.multi_items()] == ["a", "file", "a", "file"]
    assert again.getlist("a") == ["1", ""]
    first, empty = again.getlist("file")
    assert (first.filename, first.content_type, first.size) == ("ä.png", "image/png", 2)
    assert first.headers["x-note"] == "\xe4"
    assert first.file.read() == b"\x00\xff"
    assert asyncio.run(empty.read()) == b""


def test_a_file_alone_is_a_file() -> None:
    assert arrived(wanted(UploadFile), upload(b"abc", "n")).file.read() == b"abc"


def test_an_object_without_an_annotation_is_refused_by_its_type() -> None:
    with pytest.raises(FailedError, match=r"a Inner cannot travel to the worker: .*pydantic model"):
        arrived(wanted(), Inner())


def test_values_that_do_not_make_the_type_refuse_the_call_by_its_name() -> None:
    with pytest.raises(InvalidCallError, match="does not make a Question"):
        arrived(wanted(Question), None, b"{}")


@pytest.mark.parametrize(
    "response",
    [
        Response(b"\x89\xff", 201, {"x-a": "\xe4"}, "image/png"),
        Response(),
        RedirectResponse("/there"),
    ],
)
def test_a_response_sends_what_it_would_have_sent(response: Response) -> None:
    response.set_cookie("a", "1")
    response.set_cookie("b", "2")
    again = answered(response)
    assert (again.status_code, again.body) == (response.status_code, response.body)
    assert again.raw_headers == response.raw_headers


def test_a_file_response_brings_the_files_content(tmp_path: Path) -> None:
    path = tmp_path / "cat.txt"
    path.write_bytes(b"meow" * 100_000)
    again = answered(FileResponse(path, filename="cat.txt"))
    assert again.body == path.read_bytes()
    assert again.headers["content-length"] == "400000"
    assert again.headers["content-disposition"] == 'attachment; filename="cat.txt"'


def test_what_a_response_does_in_the_background_is_done() -> None:
    done: list[int] = []
    assert answered(Response(b"x", background=BackgroundTask(done.append, 1))).body == b"x"
    assert done == [1]


def test_a_streaming_response_is_refused_with_what_to_do_instead() -> None:
    with pytest.raises(FailedError, match=r"a StreamingResponse cannot travel .* LitAPI\(stream=True\)"):
        answered(StreamingResponse(iter([b"a"])))


def test_answers_are_json_bytes_or_are_refused_by_their_type() -> None:
    assert answered({"a": np.arange(2), "b": Inner()}) == b'{"a":[0,1],"b":{"siZe":1.0}}'
    with pytest.raises(FailedError, match="neither a tensor nor JSON: a object"):
        answered({"a": object()})


@pytest.mark.parametrize("frame", ["ä\n", b"\xff\x00", ""])
def test_frames_stay_text_or_bytes(frame: str | bytes) -> None:
    assert bodies.unpack_answer(bodies.pack_frame(lambda value: value, frame)) == frame


@pytest.mark.parametrize(
    ("detail", "expected"), [({"no": ["tea"]}, {"no": ["tea"]}), (complex(1, 2), "(1+2j)")]
)
def test_an_http_exception_is_raised_as_it_was(detail: Any, expected: Any) -> None:
    parts = bodies.pack_error(HTTPException(418, detail, {"x-pot": "1"}))
    assert parts is not None
    with pytest.raises(bodies.HttpError) as raised:
        bodies.unpack_answer(parts)
    assert (raised.value.status, raised.value.detail) == (418, expected)
    assert raised.value.headers == {"x-pot": "1"}
    assert bodies.pack_error(ValueError()) is None
