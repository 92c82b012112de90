"""One LitAPI for each thing that LitServe's documentation teaches; nothing of Atheria in them.

Without `from __future__ import annotations`: LitServe reads the annotations of `decode_request` and `encode_response`.
"""

import asyncio
import io
import os
import threading
import time
from pathlib import Path

import litserve as ls
import numpy as np
from fastapi import Depends, HTTPException, Response
from fastapi.responses import FileResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from litserve.loops import LitLoop
from litserve.specs.openai import ChatMessage
from pydantic import BaseModel, SecretStr, field_validator
from starlette.middleware.base import BaseHTTPMiddleware


class Doubler(ls.LitAPI):
    """The first steps: all four hooks."""

    def setup(self, device):
        self.factor = 2
        self.where = device

    def decode_request(self, request):
        return request["input"]

    def predict(self, x):
        return x * self.factor

    def encode_response(self, output):
        return {"output": output, "device": self.where}


class OnlyPredict(ls.LitAPI):
    """decode_request and encode_response have defaults."""

    def predict(self, x):
        return {"sum": sum(x["values"])}


class Batched(ls.LitAPI):
    """`batch` and `unbatch` by hand, and a context for each call."""

    def decode_request(self, request, context):
        context["name"] = request["name"]
        return float(request["value"])

    def batch(self, inputs):
        return np.array(inputs)

    def predict(self, x, context):
        for one in context:
            one["size"] = len(context)
        return x + 0.5

    def unbatch(self, output):
        return list(output)

    def encode_response(self, output, context):
        if context["name"] == "broken":
            raise ValueError("no answer for broken")
        return {"value": output, "name": context["name"], "size": context["size"]}


batched = Batched(max_batch_size=4, batch_timeout=0.5)


class Words(ls.LitAPI):
    """Streaming: predict and encode_response are generators."""

    def decode_request(self, request):
        return request["text"]

    def predict(self, text):
        if not text:
            raise HTTPException(422, "text is empty")
        yield from text.split()

    def encode_response(self, output):
        for word in output:
            yield {"word": word}


words = Words(stream=True)


class RawFrames(ls.LitAPI):
    """Frames that are not JSON: text as it is, and bytes."""

    def predict(self, x):
        yield from range(int(x["count"]))

    def encode_response(self, output):
        for number in output:
            yield bytes([0xFF, number]) if number % 2 else f"<{number}>"


raw_frames = RawFrames(stream=True)


class BatchedWords(ls.LitAPI):
    """Streaming and batching together: each step gives one word for every call."""

    def decode_request(self, request):
        return request["text"].split()

    def predict(self, texts):
        for step in range(max(map(len, texts))):
            yield [text[step] if step < len(text) else "" for text in texts]

    def encode_response(self, output):
        for step in output:
            yield [{"word": word} for word in step]


batched_words = BatchedWords(max_batch_size=4, stream=True)


class Patient(ls.LitAPI):
    """Async: each call waits until the other one is there, which only calls that run side by side survive."""

    def setup(self, device):
        self.arrived = 0
        self.everybody = asyncio.Event()

    async def decode_request(self, request):
        return request["wanted"]

    async def predict(self, wanted):
        self.arrived += 1
        if self.arrived >= wanted:
            self.everybody.set()
        await asyncio.wait_for(self.everybody.wait(), 30)
        return self.arrived

    async def encode_response(self, output):
        return {"arrived": output}


patient = Patient(enable_async=True)


class AsyncWords(ls.LitAPI):
    async def decode_request(self, request):
        return request["text"]

    async def predict(self, text):
        for word in text.split():
            await asyncio.sleep(0)
            yield word

    async def encode_response(self, output):
        async for word in output:
            yield {"word": word}


async_words = AsyncWords(enable_async=True, stream=True)


class Question(BaseModel):
    text: str
    times: int = 1


class Answer(BaseModel):
    text: str
    length: int = 0


class Typed(ls.LitAPI):
    """pydantic for the body and for the answer."""

    def decode_request(self, request: Question) -> Question:
        assert isinstance(request, Question)
        return request

    def predict(self, question):
        return question.text * question.times

    def encode_response(self, output) -> Answer:
        return Answer(text=output, length=len(output))


class Token(BaseModel):
    """Loses its secret when its fields are dumped, and is another one when it is validated a second time."""

    secret: SecretStr
    count: int = 0

    @field_validator("count")
    @classmethod
    def next(cls, count: int) -> int:
        return count + 1


class Secretive(ls.LitAPI):
    """A typed body that only the caller's own JSON makes."""

    def decode_request(self, request: Token) -> dict:
        given = sorted(request.model_fields_set)
        return {"secret": request.secret.get_secret_value(), "count": request.count, "given": given}

    def predict(self, x):
        return x


class Manual(ls.LitAPI):
    """Answers with a file."""

    def predict(self, x):
        return FileResponse(__file__, filename="manual.py")


class Picture(ls.LitAPI):
    """An answer that is a whole HTTP response."""

    def predict(self, x):
        return bytes(x["bytes"])

    def encode_response(self, output):
        return Response(content=output, media_type="image/png", headers={"x-size": str(len(output))})


class Upload(ls.LitAPI):
    """A form with a file."""

    def decode_request(self, request):
        return request["note"], request["file"].filename, request["file"].file.read()

    def predict(self, x):
        return x

    def encode_response(self, output):
        note, name, content = output
        return {"note": note, "name": name, "size": len(content)}


class LockedError(Exception):
    """Cannot be pickled."""

    def __init__(self):
        super().__init__("locked")
        self.lock = threading.Lock()


class Failing(ls.LitAPI):
    def decode_request(self, request):
        return request["how"]

    def predict(self, how):
        if how == "http":
            raise HTTPException(404, "nothing here")
        if how == "teapot":
            raise HTTPException(503, "try later")
        if how == "lock":
            raise LockedError
        if how == "bytes":
            return b"\xff\xfe"
        return {"fine": how, "nan": float("nan")} if how == "nan" else {"fine": how}


class Locked(ls.LitAPI):
    """Its own check of who may call."""

    def predict(self, x):
        return {"secret": 42}

    def authorize(self, auth: HTTPAuthorizationCredentials = Depends(HTTPBearer())):  # noqa: B008
        if auth.credentials != "open sesame":
            raise HTTPException(401, "wrong word")


class Sick(ls.LitAPI):
    """`health` says no while a file is there."""

    def predict(self, x):
        return x

    async def health(self):
        return not await asyncio.to_thread(Path(os.environ["SICK_FILE"]).exists)


def note(text):
    """Callbacks and loggers leave a trace in a file that the test reads."""
    with Path(os.environ["TRACE_FILE"]).open("a") as file:
        file.write(f"{text}\n")


class Trace(ls.Callback):
    def on_before_setup(self, lit_api):
        note(f"before_setup {type(lit_api).__name__}")

    def on_after_setup(self, lit_api):
        note("after_setup")

    def on_before_decode_request(self, lit_api):
        note("before_decode")

    def on_after_decode_request(self, lit_api):
        note("after_decode")

    def on_before_predict(self, lit_api):
        note("before_predict")

    def on_after_predict(self, lit_api):
        note("after_predict")

    def on_before_encode_response(self, lit_api):
        note("before_encode")

    def on_after_encode_response(self, lit_api):
        note("after_encode")

    def on_server_start(self, litserver):
        note("server_start")

    def on_server_end(self, litserver):
        note("server_end")

    def on_request(self, active_requests, litserver):
        note(f"request active={active_requests}")

    def on_response(self, litserver):
        note("response")
        raise RuntimeError("a callback that fails disturbs nobody")


class FileLogger(ls.Logger):
    def process(self, key, value):
        if key == "bad":
            raise ValueError("cannot process this")
        note(f"log {key}={value}")


class Talkative(ls.LitAPI):
    def predict(self, x):
        self.log("bad", 1)
        self.log("seen", x["input"])
        return {"output": x["input"]}


class Stamp(BaseHTTPMiddleware):
    async def dispatch(self, request, call_next):
        response = await call_next(request)
        response.headers["x-stamp"] = "yes"
        return response


def _whole_server():
    server = ls.LitServer(
        Talkative(api_path="/v1/talk"),
        callbacks=[Trace()],
        loggers=[FileLogger()],
        middlewares=[Stamp],
        model_metadata={"colour": "blue"},
        track_requests=True,
        healthcheck_path="/alive",
        accelerator="cpu",
    )

    @server.app.get("/extra")
    async def extra():
        return {"extra": True}

    return server


class Upper(ls.LitAPI):
    def predict(self, x):
        return {"text": str(x["text"]).upper(), "pid": os.getpid()}


class Counter(ls.LitAPI):
    def decode_request(self, request):
        return np.asarray(request["x"])

    def predict(self, x):
        return x.sum(axis=-1)

    def encode_response(self, output):
        return {"sum": output}


several = [
    Counter(api_path="/count", max_batch_size=2),
    Upper(api_path="/upper"),
    Words(api_path="/words", stream=True),
]


class Chat(ls.LitAPI):
    def predict(self, messages, context):
        yield f"{messages.messages[-1].content} at {context['temperature']}"
        yield " ok"


class ToolChat(ls.LitAPI):
    def predict(self, x):
        yield "unused"

    def encode_response(self, output):
        for _ in output:
            yield ChatMessage(role="assistant", content="custom")


class AsyncChat(ls.LitAPI):
    async def predict(self, messages):
        yield "one"
        await asyncio.sleep(0)
        yield " two"


chat = Chat(spec=ls.OpenAISpec())
tool_chat = ToolChat(spec=ls.OpenAISpec())
async_chat = AsyncChat(spec=ls.OpenAISpec(), enable_async=True)


class Embed(ls.LitAPI):
    def predict(self, texts):
        texts = texts if isinstance(texts, list) else [texts]
        return np.array([[float(len(text)), 0.5] for text in texts])

    def encode_response(self, output):
        return {"embeddings": output, "prompt_tokens": 3, "total_tokens": 3}


embed = Embed(spec=ls.OpenAIEmbeddingSpec())


class Slow(ls.LitAPI):
    """Holds the worker until a file is there."""

    def predict(self, x):
        end = time.monotonic() + 30
        Path(x["begun"]).touch()
        while not Path(x["gate"]).exists():
            if time.monotonic() > end:
                raise TimeoutError("nobody opened the gate")
            time.sleep(0.01)
        return {"ok": True}


def _impatient():
    return ls.LitServer(Slow(), timeout=0.2, accelerator="cpu")


class BigAnswer(ls.LitAPI):
    def predict(self, x):
        return {"echo": x["values"], "count": len(x["values"])}


class OwnLoop(LitLoop):
    def __call__(self, *arguments, **options):
        raise AssertionError("must not run")


class NotStreaming(ls.LitAPI):
    """A generator without stream=True."""

    def predict(self, x):
        yield x


class InMemory(io.BytesIO):
    """Only to be no LitAPI."""


def lazy(name):
    """Servers are built when they are named: LitServer starts nothing, but not each test needs each."""
    refused = {
        "own_loop": lambda: Doubler(loop=OwnLoop()),
        "shutdown": lambda: ls.LitServer(Doubler(), enable_shutdown_api=True, accelerator="cpu"),
        "payload": lambda: ls.LitServer(Doubler(), max_payload_size=10, accelerator="cpu"),
        "workers": lambda: ls.LitServer(Doubler(), workers_per_device=2, accelerator="cpu"),
        "async_batched": lambda: Patient(enable_async=True, max_batch_size=2),
        "taken_path": lambda: Doubler(api_path="/v2/mine"),
        "same_paths": lambda: [Doubler(), Upper()],
        "generator": NotStreaming,
        "no_api": InMemory,
        "whole_server": _whole_server,
        "impatient": _impatient,
    }
    return refused[name]()


def __getattr__(name):
    try:
        return lazy(name)
    except KeyError:
        raise AttributeError(name) from None
