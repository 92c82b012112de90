"""Bodies of LitServe's own routes on their way to a worker, and answers on their way back.

LitServe gives its hooks whatever FastAPI made of a body (JSON, a pydantic object, a form with files), and its routes take
whatever the hooks return (JSON, a pydantic object, a Response). Each travels as a few byte strings (`Parts`) beside the
tensors of `engine.memory`: JSON that says what it is, and then JSON texts, files or whole bodies as they are. Neither end
makes anything but these few kinds of objects from what the other sends; in particular, nothing is unpickled.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any, Final

from fastapi import UploadFile
from fastapi.encoders import jsonable_encoder
from starlette.datastructures import FormData, Headers
from starlette.datastructures import UploadFile as AnyFile
from starlette.exceptions import HTTPException
from starlette.responses import Response, StreamingResponse

from atheria_server.core.errors import CallError, FailedError
from atheria_server.engine.request_type import RequestType

Parts = tuple[bytes, ...]
"""JSON `[kind, value]`, and what belongs to the value without being JSON."""

_CODES: Final = {404: "NOT_FOUND", 429: "RESOURCE_EXHAUSTED", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED"}
_SCOPE: Final = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": []}


class HttpError(CallError):
    """The HTTPException of a hook, for LitServe's own route: its caller gets it as the hook raised it."""

    def __init__(self, detail: Any, status: int = 500, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(str(detail))
        self.status = status
        self.detail = detail
        self.headers = headers
        wrong = 400 <= status < 500
        self.code = _CODES.get(status, "INVALID_ARGUMENT" if wrong else "INTERNAL")
        self.reason = "INVALID_REQUEST" if wrong else "MODEL_FAILED"


async def pack_request(kind: RequestType, payload: Any, sent: bytes | None = None) -> Parts:
    """What FastAPI made of a body; `sent` is the JSON text that it made it of, where it is known and holds the same.

    Raises FailedError, naming the payload's type, for what has no such form.
    """
    if isinstance(payload, FormData):
        fields = payload.multi_items()
        texts = [[n, _described(value) if isinstance(value, AnyFile) else value] for n, value in fields]
        files = [await value.read() for _, value in fields if isinstance(value, AnyFile)]
        return _parts("form", texts, *files)
    if isinstance(payload, AnyFile):
        return _parts("file", _described(payload), await payload.read())
    if sent is not None and kind.is_json:
        return _parts("json", None, sent)
    try:
        return _parts("fields", None, json.dumps(kind.dump(payload)).encode())
    except (TypeError, ValueError) as error:
        raise FailedError(
            f"a {type(payload).__name__} cannot travel to the worker: {error}; let the annotation of decode_request's "
            "`request` be a pydantic model of JSON types"
        ) from error


def unpack_request(kind: RequestType, parts: Parts) -> Any:
    """What `pack_request` was given, made again. Raises InvalidCallError."""
    form, value = json.loads(parts[0])
    if form == "form":
        files = iter(parts[1:])
        return FormData([(n, v if isinstance(v, str) else _file(v, next(files))) for n, v in value])
    if form == "file":
        return _file(value, parts[1])
    return kind.load(parts[1]) if form == "fields" else kind.make(json.loads(parts[1]))


def unpack_answer(parts: Parts) -> Any:
    """JSON text as bytes, a Response, or a frame as str or bytes. Raises HttpError for what `pack_error` gave."""
    form, value = json.loads(parts[0])
    if form == "error":
        status, detail, headers = value
        raise HttpError(detail, status, headers)
    if form == "response":
        status, headers = value
        response = Response(parts[1], status)
        response.raw_headers = [(n.encode("latin-1"), v.encode("latin-1")) for n, v in headers]
        return response
    return parts[1].decode() if form == "text" else parts[1]


def pack_error(error: object) -> Parts | None:
    """An HTTPException of a hook, with a detail that is not JSON as its text; None = anything else."""
    if not isinstance(error, HTTPException):
        return None
    try:
        detail = json.loads(json_bytes(error.detail, allow_nan=False))
    except FailedError:
        detail = str(error.detail)
    headers = {str(n): str(v) for n, v in error.headers.items()} if error.headers else None
    return _parts("error", [error.status_code, detail, headers])


def pack_answer(value: Any) -> Parts:
    """What encode_response returned: a Response with all that it would send, anything else as JSON. Raises FailedError."""
    if not isinstance(value, Response):
        return _parts("json", None, json_bytes(value, allow_nan=False))
    if isinstance(value, StreamingResponse):
        raise FailedError(
            f"a {type(value).__name__} cannot travel from the worker; serve a LitAPI(stream=True), or return a Response "
            "with the whole content"
        )
    is_plain = type(value).__call__ is Response.__call__ and value.background is None
    status, headers, body = (
        (value.status_code, value.raw_headers, bytes(value.body)) if is_plain else asyncio.run(_sent(value))
    )
    return _parts(
        "response", [status, [[n.decode("latin-1"), v.decode("latin-1")] for n, v in headers]], body
    )


def pack_frame(format_encoded_response: Callable[[Any], Any], value: Any) -> Parts:
    """What encode_response yielded, in the form that the LitAPI gives it: str or bytes. Raises FailedError."""
    plain = as_json(value) if isinstance(value, Mapping) else value
    text = format_encoded_response(plain)
    if not isinstance(text, str | bytes):
        raise FailedError(
            f"a frame is a {type(text).__name__}; yield str, bytes, a mapping or a pydantic object from "
            "encode_response, or override format_encoded_response"
        )
    return _parts("text", None, text.encode()) if isinstance(text, str) else _parts("bytes", None, text)


def as_json(value: Any) -> Any:
    """The value in JSON's own types. Raises FailedError for what is neither a tensor nor JSON."""
    return json.loads(json_bytes(value, allow_nan=True))


def json_bytes(value: Any, *, allow_nan: bool) -> bytes:
    """As FastAPI writes it, and arrays as lists. Raises FailedError for what is neither a tensor nor JSON."""
    try:
        text = json.dumps(
            value, default=_plain, ensure_ascii=False, allow_nan=allow_nan, separators=(",", ":")
        )
    except (TypeError, ValueError) as error:
        raise FailedError(
            f"the model's answer holds something that is neither a tensor nor JSON: {error}"
        ) from error
    return text.encode()


def _plain(value: Any) -> Any:
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json", by_alias=True)
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError as error:
            raise ValueError(
                f"{len(value)} bytes that are not UTF-8; return base64 text, or "
                "fastapi.Response(content=..., media_type=...) as the whole answer"
            ) from error
    if isinstance(value, Mapping):
        return {str(name): item for name, item in value.items()}
    if hasattr(value, "tolist"):  # numpy and torch
        return value.tolist()
    if isinstance(value, Response):
        raise TypeError("a Response inside of an answer; return it as the whole answer")
    try:
        return jsonable_encoder(value)
    except (TypeError, ValueError) as error:
        raise TypeError(f"a {type(value).__name__}") from error


def _parts(form: str, value: Any, *blobs: bytes) -> Parts:
    return json.dumps([form, value]).encode(), *blobs


def _described(file: AnyFile) -> dict[str, Any]:
    return {"filename": file.filename, "headers": file.headers.items()}


def _file(described: Mapping[str, Any], content: bytes) -> UploadFile:
    headers = [(n.encode("latin-1"), v.encode("latin-1")) for n, v in described["headers"]]
    return UploadFile(
        BytesIO(content), size=len(content), filename=described["filename"], headers=Headers(raw=headers)
    )


async def _sent(response: Response) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """What a response that makes its body late (a file's) sends; what it does in the background, it does here."""
    start: dict[str, Any] = {}
    body = bytearray()

    async def send(message: Any) -> None:
        start.update(message)
        body.extend(message.get("body", b""))

    async def receive() -> Any:
        await asyncio.Event().wait()  # nobody leaves; the response stops waiting when it has sent all

    await response(_SCOPE, receive, send)
    return start["status"], list(start["headers"]), bytes(body)
