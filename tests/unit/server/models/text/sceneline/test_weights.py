"""The weights that ship are those whose digest is known; wrong ones are refused with the reason."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from atheria_server.models.text.sceneline import weights
from atheria_server.models.text.sceneline.network import SceneLine
from atheria_server.models.weight_files import DigestError, WeightsError, digest_of


def test_the_shipped_file_is_checked_and_is_below_two_megabytes(network: SceneLine) -> None:
    data = (Path(weights.__file__).parent / "weights" / weights.BUILTIN_FILE).read_bytes()
    assert digest_of(data) == weights.BUILTIN_DIGEST
    assert len(data) < 2_000_000
    assert weights.dump_network(network) == data
    assert {value.dtype for value in network.state_dict().values()} == {torch.float32}


def test_another_digest_than_asked_for_is_refused() -> None:
    with pytest.raises(DigestError, match="expected sha256:0000"):
        weights.load_network(digest="sha256:" + "0" * 64)


def test_a_file_that_was_changed_is_refused(tmp_path: Path, network: SceneLine) -> None:
    data = bytearray(weights.dump_network(network))
    good = digest_of(bytes(data))
    data[-1] ^= 1
    path = tmp_path / "changed.safetensors"
    path.write_bytes(data)
    with pytest.raises(DigestError, match=f"expected {good}"):
        weights.load_network(weights=str(path), digest=good)


def test_a_file_that_is_none_or_of_another_network_is_refused(tmp_path: Path, network: SceneLine) -> None:
    path = tmp_path / "wrong.safetensors"
    with pytest.raises(WeightsError, match="cannot be read"):
        weights.load_network(weights=str(path))
    path.write_bytes(b"no weights")
    with pytest.raises(WeightsError, match="not a safetensors file of sceneline small"):
        weights.load_network(weights=str(path))
    path.write_bytes(weights.dump_network(network))
    with pytest.raises(WeightsError, match="not a safetensors file of sceneline large"):
        weights.load_network("large", weights=str(path))


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    network = weights.draw_network("small", 1)
    network.out.bias.data[0] = float("nan")
    path = tmp_path / "nan.safetensors"
    path.write_bytes(weights.dump_network(network))
    with pytest.raises(WeightsError, match="values that are not finite"):
        weights.load_network(weights=str(path))


def test_a_digest_of_a_preset_without_a_file_is_refused() -> None:
    with pytest.raises(WeightsError, match="preset large has no weights file"):
        weights.load_network("large", digest="sha256:" + "0" * 64)


def test_equal_seeds_draw_equal_weights_and_leave_the_global_generator_alone() -> None:
    state = torch.random.get_rng_state()
    one, other = weights.draw_network("small", 3), weights.draw_network("small", 3)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    assert torch.equal(torch.random.get_rng_state(), state)
