"""The figure of the first certificate that expires."""

from __future__ import annotations

import asyncio

from prometheus_client import generate_latest

from atheria_gateway.adapters.envoy_admin import earliest_expiry_seconds
from atheria_gateway.runtime.certificates import watch_certificates
from atheria_gateway.runtime.measures import Measures

SERIES = b"atheria_certificate_expiry_timestamp_seconds "


class _Envoy:
    """Answers with each of `answers`, then says that nobody asks again."""

    def __init__(self, *answers: float | OSError | None) -> None:
        self.answers = list(answers)
        self.asked = asyncio.Event()

    async def certificate_expiry_seconds(self) -> float | None:
        if not self.answers:
            self.asked.set()
            await asyncio.Event().wait()
        answer = self.answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer


async def _shown(*answers: float | OSError | None) -> bytes:
    envoy, measures = _Envoy(*answers), Measures()
    watching = asyncio.create_task(watch_certificates(envoy, measures, period_seconds=0))
    async with asyncio.timeout(60):
        await envoy.asked.wait()
    watching.cancel()
    return generate_latest(measures.registry)


async def test_a_renewed_certificate_is_seen_and_silence_keeps_what_was_known() -> None:
    text = await _shown(OSError("no answer"), 1000.0, 5000.0, OSError("no answer"), None)
    assert SERIES + b"5000.0\n" in text


async def test_without_a_certificate_there_is_no_series() -> None:
    assert SERIES not in await _shown(None, OSError("no answer"))


def test_the_earliest_of_the_chains_counts_and_authorities_do_not() -> None:
    entry = {
        "ca_cert": [{"expiration_time": "1970-01-01T00:00:01Z"}],
        "cert_chain": [{"expiration_time": "1970-01-01T00:10:00Z"}, {"expiration_time": "1970-01-01T00:05:00Z"}],
    }  # fmt: skip
    assert earliest_expiry_seconds({"certificates": [entry]}) == 300.0
    assert earliest_expiry_seconds({"certificates": []}) is None
