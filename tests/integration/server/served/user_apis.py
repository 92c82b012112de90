"""LitAPIs as LitServe's own documentation shows them; nothing of Atheria in them.

Without type annotations where LitServe would read them: it takes those of `decode_request` for the body's schema.
"""

import asyncio

import litserve as ls
import numpy as np
from fastapi import HTTPException
from pydantic import BaseModel


class SimpleLitAPI(ls.LitAPI):
    def setup(self, device):
        self.model1 = lambda x: x**2
        self.model2 = lambda x: x**3

    def decode_request(self, request):
        return request["input"]

    def predict(self, x):
        if isinstance(x, str):
            return {"output": object()}
        if np.any(np.asarray(x) < 0):
            raise HTTPException(422, "input must not be negative")
        return {"output": self.model1(x) + self.model2(x)}

    def encode_response(self, output):
        return {"output": output["output"]}


class BatchedLitAPI(ls.LitAPI):
    def setup(self, device):
        self.device_name = device

    def decode_request(self, request):
        return np.asarray(request["input"], np.float32)

    def predict(self, batch):
        return [(row * 2, len(batch)) for row in batch]

    def encode_response(self, output):
        return {"output": output[0], "batch": np.int64(output[1])}


class StreamingLitAPI(ls.LitAPI):
    def decode_request(self, request):
        return int(np.asarray(request["count"]).ravel()[0])

    def predict(self, count):
        yield from range(count)

    def encode_response(self, output):
        for value in output:
            yield {"value": value}


class AsyncLitAPI(ls.LitAPI):
    async def decode_request(self, request):
        return request["input"]

    async def predict(self, x):
        await asyncio.sleep(0)
        return x + 1

    async def encode_response(self, output):
        return {"output": output}


class AsyncStreamingLitAPI(ls.LitAPI):
    async def decode_request(self, request):
        return int(np.asarray(request["count"]).ravel()[0])

    async def predict(self, count):
        for value in range(count):
            yield value

    async def encode_response(self, output):
        async for value in output:
            yield {"value": value}


class Question(BaseModel):
    text: str
    times: int = 2


class TypedLitAPI(ls.LitAPI):
    def decode_request(self, request: Question) -> str:
        return request.text * request.times

    def predict(self, text):
        return text.upper()

    def encode_response(self, output):
        return {"answer": output}


class CachingLitAPI(ls.LitAPI):
    """Answers how many requests it has decoded."""

    decode_cache_entries = 2

    def setup(self, device):
        self.decoded = 0

    def decode_request(self, request):
        self.decoded += 1
        return request["x"] * 2

    def predict(self, x):
        return {"y": x, "decoded": self.decoded}


class ContextCachingLitAPI(CachingLitAPI):
    def decode_request(self, request, context):
        return request["x"]
