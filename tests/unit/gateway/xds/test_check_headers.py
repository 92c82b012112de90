"""What a question about a held call says."""

from __future__ import annotations

import pytest

from atheria_gateway.core.model import ModelKey
from atheria_gateway.xds.check_headers import HeldCall, read_call, read_timeout

TARGET = {"x-atheria-target": "demo/qca/pods"}
QCA = ModelKey(namespace="demo", name="qca")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1500m", 1.5),
        ("2S", 2.0),
        ("3M", 180.0),
        ("1H", 3600.0),
        ("250000u", 0.25),
        ("99999999n", 0.099999999),
    ],
)
def test_every_unit_of_a_grpc_timeout_is_read(text: str, seconds: float) -> None:
    assert read_timeout(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "S", "1", "1s", "-1S", "1.5S", "123456789S", "1e3S"])
def test_what_is_no_grpc_timeout_is_no_deadline(text: str) -> None:
    assert read_timeout(text) is None


def test_a_call_without_a_known_target_is_none() -> None:
    assert read_call({}, 0.0) is None
    assert read_call({"x-atheria-target": "activator"}, 0.0) is None


def test_the_deadline_counts_from_the_arrival_also_when_a_second_activator_is_asked() -> None:
    headers = {**TARGET, "x-atheria-arrived": "1000.250", "grpc-timeout": "10S", "x-envoy-attempt-count": "2"}
    call = read_call(headers, 1004.25)
    assert call == HeldCall(model=QCA, http=False, attempt=2, age_s=4.0, time_left_s=6.0)


def test_a_caller_is_who_the_gateway_says_or_the_address_that_it_saw() -> None:
    forged = {**TARGET, "x-forwarded-for": "6.6.6.6, 10.0.0.7"}
    call = read_call(forged, 0.0)
    assert call is not None
    assert call.caller == "address:10.0.0.7"
    named = read_call({**forged, "x-atheria-caller": "key:notebook"}, 0.0)
    assert named is not None
    assert named.caller == "key:notebook"


def test_a_declared_length_is_read_and_nonsense_is_not() -> None:
    lengths = [read_call({**TARGET, "content-length": text}, 0.0) for text in ("17", "-1", "many", "")]
    assert [call.body_bytes for call in lengths if call is not None] == [17, None, None, None]


@pytest.mark.parametrize(
    ("flags", "is_sampled"),
    [("01", True), ("00", False)],
)
def test_the_trace_of_a_call_is_known_whether_it_is_kept_or_not(flags: str, is_sampled: bool) -> None:
    call = read_call({**TARGET, "traceparent": f"00-{'4' * 32}-{'5' * 16}-{flags}"}, 0.0)
    assert call is not None
    assert (call.trace_id, call.is_sampled) == ("4" * 32, is_sampled)
    assert read_call({**TARGET, "traceparent": "00-nothing"}, 0.0) == read_call(TARGET, 0.0)
