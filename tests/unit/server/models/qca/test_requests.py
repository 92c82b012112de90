"""Requests: what is refused, and what the API answers."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atheria_server.models.contract import Batch, InvalidRequestError, is_described
from atheria_server.models.qca.api import QcaApi
from atheria_server.models.qca.validate import InvalidQcaRequestError, parse_request

STATE = np.ones((1, 16, 8, 8), np.float32)


@pytest.fixture
def api() -> QcaApi:
    api = QcaApi({"law": "kerr"}, max_batch_size=8)
    api.setup("cpu")
    return api


def batched(api, *calls):
    valid = [api.validate(tensors, parameters, streaming=False) for tensors, parameters in calls]
    assert len({call.batch_key for call in valid}) == 1
    inputs = {name: np.concatenate([call.inputs[name] for call in valid]) for name in valid[0].inputs}
    return Batch(inputs=inputs, parameters=valid[0].parameters, rows=sum(call.rows for call in valid))


@pytest.mark.parametrize(
    ("tensors", "parameters", "words"),
    [
        ({}, {}, "no input"),
        ({"x": STATE}, {}, "unknown input 'x'"),
        ({"state": STATE.astype(np.float64)}, {}, "expected FP32"),
        ({"state": STATE[0]}, {}, "expected .B, 16, H, W"),
        ({"state": STATE[:, :8]}, {}, "expected .B, 16, H, W"),
        ({"state": STATE[:0]}, {}, "B >= 1"),
        ({"state": STATE[:, :, :7]}, {}, "multiple of 8"),
        ({"state": STATE * np.float32("nan")}, {}, "NaN or infinity"),
        ({"state": STATE * 1e7}, {}, "allowed up to"),
        ({"state": STATE}, {"height": 16}, "height is 16"),
        ({"state": STATE}, {"picture": 1}, "parameter picture is 1"),
        ({"state": STATE}, {"last_state": "yes"}, "parameter last_state is 'yes'"),
        ({"state": STATE}, {"last_state": True, "depth": 4}, "leaves out the states"),
        ({"state": STATE}, {"start_step": -1}, "parameter start_step is -1"),
        ({"state": STATE}, {"start_step": True}, "parameter start_step is True"),
        ({"seed": np.zeros(1, np.int64)}, {"start_step": 3}, "a walk from a seed begins at step 0"),
        ({"state": STATE}, {"steps": 65}, "from 1 to 64"),
        ({"state": STATE}, {"steps": 4, "every": 5}, "from 1 to 4"),
        ({"state": STATE}, {"noise": -1.0}, "noise is -1.0"),
        ({"state": STATE}, {"noise": float("nan")}, "noise is nan"),
        ({"state": STATE}, {"speed": 1}, "unknown parameter 'speed'"),
        ({"seed": np.zeros(1, np.int32)}, {}, "expected INT64"),
        ({"seed": np.zeros((1, 1), np.int64)}, {}, "expected .B."),
        ({"seed": np.zeros(1, np.int64)}, {"width": 520}, "from 8 to 512"),
        ({"seed": np.zeros(1, np.int64)}, {"initial": "void"}, "allowed: vacuum_ripple"),
    ],
)
def test_a_wrong_request_is_refused_with_its_reason(tensors, parameters, words):
    with pytest.raises(InvalidQcaRequestError, match=words):
        parse_request(tensors, parameters, 8)


@given(steps=st.one_of(st.integers(), st.floats(), st.text(), st.booleans()))
def test_only_whole_numbers_of_steps_from_1_to_64_are_accepted(steps):
    good = isinstance(steps, int) and not isinstance(steps, bool) and 1 <= steps <= 64
    if good:
        assert parse_request({"state": STATE}, {"steps": steps}, 8).steps == steps
    else:
        with pytest.raises(InvalidQcaRequestError):
            parse_request({"state": STATE}, {"steps": steps}, 8)


def test_calls_with_different_seeds_and_noise_in_one_batch_get_what_they_get_alone(api):
    calls = [
        ({"seed": np.array([1, -2], np.int64)}, {"height": 8, "width": 8, "noise": 0.2}),
        ({"seed": np.array([3], np.int64)}, {"height": 8, "width": 8}),
    ]
    together = api.predict(batched(api, *calls))
    assert together.keys() == {"state", "density", "phase", "metrics"}
    alone = [api.predict(batched(api, call)) for call in calls]
    for name, value in together.items():
        assert value.dtype == np.float32
        assert np.array_equal(value, np.concatenate([answer[name] for answer in alone])), name


def test_a_stream_has_a_frame_every_few_steps_and_ends_with_the_answer(api):
    call = ({"state": STATE}, {"steps": 7, "every": 3})
    frames = list(api.stream_frames(batched(api, call)))
    assert [frame.parameters["step"] for frame in frames] == [3, 6, 7]
    assert np.array_equal(frames[-1].outputs["state"], api.predict(batched(api, call))["state"])


def test_warm_up_calls_are_valid_and_a_wrong_shape_is_refused(api):
    for call in api.warmup_calls([(16, 8, 16)], 2):
        assert api.validate(call.inputs, call.parameters, streaming=False).rows == 2
    with pytest.raises(InvalidRequestError, match="warm-up shape"):
        api.warmup_calls([(8, 8, 8)], 1)


def test_the_api_is_a_described_model(api):
    assert is_described(api)


def test_the_front_process_validates_without_torch():
    code = "import sys, atheria_server.models.qca.validate, atheria_server.models.qca.settings; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
