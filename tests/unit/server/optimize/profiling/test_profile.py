"""The profile of a model: stages, operations, and the report that names the bottleneck."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

from atheria_server.models.contract import WarmupCall
from atheria_server.optimize.loaded import LoadedModel, load_model
from atheria_server.optimize.profiling.calls import sample_call
from atheria_server.optimize.profiling.operations import GRAPH, count_operations, launch_seconds, peak_bytes
from atheria_server.optimize.profiling.report import markdown, profile_model
from atheria_server.optimize.profiling.stages import STAGES, measure_stages, request_bytes
from atheria_server.transport.grpc_codec import parse_request, read_request


@pytest.fixture(scope="module")
def qca() -> LoadedModel:
    return load_model("builtin://qca", {"law": "kerr"})


def test_a_sample_call_has_the_rows_the_shape_and_the_parameters_asked_for(qca):
    call = sample_call(qca.api, (16, 8, 16), rows=3, parameters={"steps": 4})
    answer = qca.compute(call)
    assert answer["state"].shape == (3, 16, 8, 16)
    assert call.parameters["steps"] == 4


def test_the_bytes_of_a_request_are_those_that_the_server_reads():
    call = WarmupCall(
        inputs={"x": np.arange(6, dtype=np.float32).reshape(2, 3)}, parameters={"n": 2, "s": "a", "f": 0.5}
    )
    request = read_request(parse_request(request_bytes(call)), None)
    assert np.array_equal(request.inputs["x"], call.inputs["x"])
    assert request.parameters == {"n": 2, "s": "a", "f": 0.5}


def test_each_stage_gets_its_own_time_and_the_copies_of_both_ways_are_one(qca):
    times = iter(range(1000))
    found = measure_stages(qca, sample_call(qca.api, (16, 8, 8), rows=1), 3, clock=lambda: float(next(times)))
    # One tick for each stage, two for the copies.
    assert {name: one.seconds for name, one in found.items()} == {
        stage: (2.0,) * 3 if stage == "copy" else (1.0,) * 3 for stage in STAGES
    }


def test_operations_are_counted_as_the_program_starts_them():
    weight, x = torch.ones(64, 64), torch.ones(8, 64)

    def compute() -> None:
        y = x
        for _ in range(5):
            y = torch.nn.functional.linear(y, weight)
        y.view(-1).add(1).mul(2)

    found = count_operations(compute, device="cpu", calls=2)
    assert found.launches == 7
    assert {"mm", "add", "mul"} <= {one.name for one in found.top}
    assert 0 < found.arithmetic_share <= 1
    assert 0 < found.busy_share <= 1
    assert found.flops >= 5 * 2 * 8 * 64 * 64


def test_a_compiled_graph_counts_as_one_operation_beside_the_products_that_it_calls():
    x = torch.ones(64, 64)

    def compute() -> None:
        with torch.autograd.profiler.record_function("## Call CompiledFxGraph f0 ##"):
            torch.mm(x, x)
            math.fsum(range(20_000))  # stands for a kernel that is not torch's

    found = count_operations(compute, device="cpu")
    assert found.launches == 2
    assert found.top[0].name == GRAPH
    assert found.busy_share > 0.5


def test_work_without_matrix_products_has_no_arithmetic_share():
    x = torch.ones(1000)
    assert count_operations(lambda: x + 1, device="cpu").arithmetic_share == 0


def test_peak_memory_is_counted_to_the_byte():
    def compute() -> None:
        a = torch.empty(1000, dtype=torch.float32)
        b = torch.empty(500, dtype=torch.float32)
        del a
        torch.empty(100, dtype=torch.float32)
        del b

    peak = peak_bytes(compute)
    assert 6000 <= peak < 6400


def test_starting_an_operation_takes_some_time():
    assert launch_seconds("cpu") > 0


def test_the_report_names_the_bottleneck_first_and_is_json(qca):
    found = profile_model(qca, source="builtin://qca", shape=(16, 8, 8), row_sizes=(1, 2, 4), rounds=2)
    text = markdown(found)
    assert text.splitlines()[2].startswith(f"**{found.bottleneck.kind}-bound: ")
    for part in (*STAGES, "t(B) =", "| rows | ms |"):
        assert part in text
    data = json.loads(json.dumps(found.to_json()))
    assert data["batches"]["4"]["rounds"] == 2
    assert sum(one["share"] for one in data["stages"].values()) == pytest.approx(1)
    assert len(found.points) == 6
