"""The activator's /metrics: Prometheus' text, or OpenMetrics with exemplars for who asks for it."""

from __future__ import annotations

import aiohttp

from atheria_gateway.adapters.metrics_http import serve_metrics
from atheria_gateway.core.model import ModelKey
from atheria_gateway.runtime.measures import Measures
from atheria_local.free_ports import free_port

QCA = ModelKey(namespace="demo", name="qca")
ID = "4bf92f3577b34da6a3ce929d0e0e4736"


async def test_a_held_call_of_a_kept_trace_is_an_example_in_openmetrics_and_only_there() -> None:
    measures = Measures()
    measures.released(QCA, 12.5, ID)
    measures.released(QCA, 0.02)
    port = free_port()
    runner = await serve_metrics(port=port, registry=measures.registry, is_ready=lambda: True)
    try:
        async with aiohttp.ClientSession() as session:

            async def get(accept: str) -> tuple[str, str]:
                async with session.get(
                    f"http://127.0.0.1:{port}/metrics", headers={"accept": accept}
                ) as answer:
                    return await answer.text(), answer.headers["content-type"]

            text, kind = await get("application/openmetrics-text;version=1.0.0")
            assert kind.startswith("application/openmetrics-text")
            assert text.count("trace_id") == 1
            assert f'le="20.0",model="qca",namespace="demo"}} 2.0 # {{trace_id="{ID}"}} 12.5' in text
            for accept in ("text/plain", "application/openmetrics-text;version=x"):
                text, kind = await get(accept)
                assert kind.startswith("text/plain")
                assert ID not in text
    finally:
        await runner.cleanup()
