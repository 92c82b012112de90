"""What a model takes of a device's memory, as a sum."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atheria_contract import names
from atheria_operator.api.model import HardwareProfile, MemoryNeed, ModelIntent
from atheria_operator.api.quantities import GIB, bytes_text, quantity_bytes
from atheria_operator.domain.desired.revision import config_text
from atheria_operator.domain.observed import CONFIG_MAP, Observed
from atheria_operator.domain.planning.memory import (
    MemorySum,
    available_bytes,
    measured_weight_bytes,
    memory_sum,
)

Intents = Callable[..., ModelIntent]
SOURCE = "builtin://qca"
_SUM = MemorySum(weights_bytes=0, weights_basis="declared", precision="fp32", row_bytes=1, rows=1, copies=1)


def _declared(intent: Intents, precision: str = "fp32", **spec: Any) -> ModelIntent:
    memory = {"weights": "8Gi", "activationsPerRow": "256Mi", "cachePerRow": "256Mi"}
    return intent(model={"source": SOURCE, "memory": memory}, precision={"policy": precision}, **spec)


@pytest.mark.parametrize(
    ("precision", "gib", "basis"),
    [("fp32", 8, "declared"), ("bf16", 4, "modelled"), ("int8", 2, "modelled"), ("nf4", 1, "modelled"), ("auto", 1, "modelled")],
)  # fmt: skip
def test_declared_weights_shrink_with_the_precision_and_then_say_modelled(
    intent: Intents, precision: str, gib: int, basis: str
) -> None:
    found = memory_sum(_declared(intent, precision), None)
    assert (found.weights_bytes, found.weights_basis) == (gib * GIB, basis)
    assert found.total_bytes == gib * GIB + 8 * GIB // 2


def test_a_hierarchy_is_at_least_its_smallest_group(intent: Intents) -> None:
    model = intent(
        model={"source": SOURCE, "memory": {"weights": "8Gi"}},
        precision={"policy": "hierarchy", "backbone": "int8", "encoder": "int8", "head": "bf16"},
    )
    assert memory_sum(model, None).weights_bytes == 2 * GIB


def test_measured_bytes_go_before_declared_ones_and_need_no_factor(intent: Intents) -> None:
    found = memory_sum(_declared(intent, "nf4"), 3 * GIB)
    assert (found.weights_bytes, found.weights_basis) == (3 * GIB, "measured")


def test_the_sum_is_written_out_with_where_each_term_comes_from(intent: Intents) -> None:
    model = _declared(intent, "nf4", concurrency={"workersPerReplica": 2}, batching={"maxBatchSize": 4})
    assert str(memory_sum(model, None)) == (
        "2 workers x (weights at least 1.00 GiB in nf4 (modelled) + 4 rows x 0.50 GiB (declared)) = 6.00 GiB"
    )


def test_nothing_declared_is_nothing_known(intent: Intents) -> None:
    found = memory_sum(intent(), None)
    assert not found.is_known
    assert (found.total_bytes, found.weights_bytes, found.row_bytes) == (0, None, None)


def test_rows_that_fit_are_what_is_left_beside_the_weights(intent: Intents) -> None:
    found = memory_sum(_declared(intent, batching={"maxBatchSize": 64}), None)
    assert found.rows_that_fit(10 * GIB) == 4
    assert found.rows_that_fit(7 * GIB) == 0


@given(
    weights=st.integers(0, 2**45),
    row=st.integers(1, 2**35),
    rows=st.integers(1, 1024),
    memory=st.integers(0, 2**46),
)
def test_what_is_said_to_fit_fits_and_one_row_more_does_not(
    weights: int, row: int, rows: int, memory: int
) -> None:
    found = replace(_SUM, weights_bytes=weights, row_bytes=row, rows=rows)
    fitting = found.rows_that_fit(memory)
    if fitting:
        assert replace(found, rows=fitting).total_bytes <= memory
    assert replace(found, rows=fitting + 1).total_bytes > memory


def test_a_count_of_other_weights_is_no_measurement_of_these(intent: Intents) -> None:
    before = {"precision": {"revision": "qca-1", "weightBytes": 7}}

    def measured(served: ModelIntent, wanted: ModelIntent) -> int | None:
        config = {"metadata": {"name": "qca-1"}, "data": {names.CONFIG_FILE: config_text(served.serving)}}
        return measured_weight_bytes(wanted, Observed(children={(CONFIG_MAP, "qca-1"): config}), before)

    assert measured(intent(), intent(batching={"maxBatchSize": 2})) == 7
    assert measured(intent(), intent(precision={"policy": "nf4"})) is None
    assert measured(intent(), intent(model={"source": SOURCE, "parameters": {"law": "nca"}})) is None
    for text in ("no JSON", "[1]", ""):
        broken = {"metadata": {"name": "qca-1"}, "data": {names.CONFIG_FILE: text}}
        assert (
            measured_weight_bytes(intent(), Observed(children={(CONFIG_MAP, "qca-1"): broken}), before)
            is None
        )
    assert measured_weight_bytes(intent(), Observed(), before) is None
    assert measured_weight_bytes(intent(), Observed(), {}) is None


def test_without_a_device_the_containers_limit_counts_and_the_users_goes_before(
    intent: Intents, cpu: HardwareProfile
) -> None:
    profile = replace(cpu, memory_bytes=2 * GIB)

    def limited(memory: str) -> ModelIntent:
        container = {"name": names.CONTAINER_MODEL, "resources": {"limits": {"memory": memory}}}
        return intent(podTemplate={"spec": {"containers": [container]}})

    assert available_bytes(intent(), profile) == 2 * GIB
    assert available_bytes(limited("4Gi"), profile) == 4 * GIB
    assert available_bytes(limited("4e3"), profile) is None
    device = replace(profile, resource_name="nvidia.com/gpu", memory_bytes=24 * GIB)
    assert available_bytes(limited("4Gi"), device) == 24 * GIB


@pytest.mark.parametrize(
    ("text", "count"), [("", None), (None, None), ("7", 7), (7, 7), ("1.5Ki", 1536), ("2G", 2 * 10**9), ("1Ti", 2**40)]
)  # fmt: skip
def test_quantities_are_bytes(text: Any, count: int | None) -> None:
    assert quantity_bytes(text, "f") == count


def test_other_quantities_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"spec\.x is '6GB': write bytes as .*6Gi"):
        quantity_bytes("6GB", "spec.x")


def test_bytes_are_shown_in_gib_until_they_are_small() -> None:
    assert [bytes_text(count) for count in (24 * GIB, GIB // 2, 2048)] == ["24.0 GiB", "0.50 GiB", "2 KiB"]


def test_the_need_survives_the_way_from_the_api(intent: Intents) -> None:
    assert _declared(intent).memory == MemoryNeed(
        weights_bytes=8 * GIB, activations_bytes_per_row=GIB // 4, cache_bytes_per_row=GIB // 4
    )
    assert "memory" not in json.loads(config_text(_declared(intent).serving))
