"""A process that speaks vLLM's HTTP surface with a made-up model: /health, /v1/models, /v1/completions with SSE, /metrics.

At most MAX_SEQS calls are computed at once, the others wait in its queue, as vLLM's do. A token is produced for each permit that
`POST /stand-in/permits?n=N` gives, so that a test decides how far a stream is. Run as `python vllm_stand_in.py PORT MAX_SEQS`.
"""

from __future__ import annotations

import asyncio
import json
import sys

from aiohttp import web

MODEL = "stand-in"


class Engine:
    """Calls that run and wait, and the permits to go on."""

    def __init__(self, max_seqs: int) -> None:
        self.places = asyncio.Semaphore(max_seqs)
        self.permits = asyncio.Semaphore(0)
        self.running = 0
        self.waiting = 0

    async def completions(self, request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        words = [f" {asked['prompt']}{index}" for index in range(int(asked["max_tokens"]))]
        self.waiting += 1
        try:
            await self.places.acquire()
        finally:
            self.waiting -= 1
        self.running += 1
        try:
            if asked.get("stream"):
                return await self._stream(request, words)
            for _ in words:
                await self.permits.acquire()
            return web.json_response(_chunk("".join(words), "length"))
        finally:
            self.running -= 1
            self.places.release()

    async def _stream(self, request: web.Request, words: list[str]) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"content-type": "text/event-stream; charset=utf-8"})
        await answer.prepare(request)
        for index, word in enumerate(words):
            await self.permits.acquire()
            reason = "length" if index == len(words) - 1 else None
            await answer.write(f"data: {json.dumps(_chunk(word, reason))}\n\n".encode())
        await answer.write(b"data: [DONE]\n\n")
        await answer.write_eof()
        return answer

    async def metrics(self, _: web.Request) -> web.Response:
        lines = [
            f'vllm:num_requests_{name}{{engine="0",model_name="{MODEL}"}} {float(value)}'
            for name, value in (("running", self.running), ("waiting", self.waiting))
        ]
        return web.Response(text="\n".join(lines) + "\n")

    async def permit(self, request: web.Request) -> web.Response:
        for _ in range(int(request.query["n"])):
            self.permits.release()
        return web.Response()


def _chunk(text: str, reason: str | None) -> dict[str, object]:
    return {
        "id": "cmpl-1",
        "object": "text_completion",
        "model": MODEL,
        "choices": [{"index": 0, "text": text, "finish_reason": reason}],
    }


async def _health(_: web.Request) -> web.Response:
    return web.Response()


async def _models(_: web.Request) -> web.Response:
    return web.json_response({"object": "list", "data": [{"id": MODEL, "object": "model"}]})


def main(port: int, max_seqs: int) -> None:
    """Serve on 127.0.0.1 until SIGTERM."""
    engine = Engine(max_seqs)
    app = web.Application()
    app.add_routes(
        [
            web.get("/health", _health),
            web.get("/v1/models", _models),
            web.post("/v1/completions", engine.completions),
            web.get("/metrics", engine.metrics),
            web.post("/stand-in/permits", engine.permit),
        ]
    )
    web.run_app(app, host="127.0.0.1", port=port, print=None, shutdown_timeout=1)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
