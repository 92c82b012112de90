"""Moving a model's memory away and back: the same tensors, with the same values. On a GPU the device is another, the code the same."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.testing._internal.two_tensor import TwoTensor

from atheria_server.engine import device_rest
from atheria_server.engine.device_rest import DeviceRest, fixed_by, storages_on, to_device, to_host


class _Tied(torch.nn.Module):
    """Two layers with one weight, a view that user code keeps, and a tensor outside of modules."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = torch.nn.Linear(8, 8), torch.nn.Linear(8, 8)
        self.two.weight = self.one.weight
        self.row = self.one.weight.detach()[3]
        self.kept = {"table": torch.arange(5.0)}


def test_tied_weights_and_views_come_back_as_the_same_objects_with_the_same_values() -> None:
    model = _Tied()
    x = torch.ones(2, 8)
    before, row = model.two(x).clone(), model.row.clone()
    weight = model.one.weight
    storages = [model.one.weight.untyped_storage(), model.two.bias.untyped_storage()]
    moved = to_host(torch, storages, pinned=False)
    assert model.one.weight.untyped_storage().nbytes() == 0
    assert sum(host.numel() for _, host in moved) == (8 * 8 + 8) * 4
    to_device(torch, moved)
    assert model.one.weight is weight is model.two.weight
    assert torch.equal(model.two(x), before)
    assert torch.equal(model.row, row)
    assert model.row.untyped_storage().data_ptr() == weight.untyped_storage().data_ptr()


def test_every_piece_of_memory_is_found_once_wherever_its_tensors_are_kept() -> None:
    model = _Tied()
    found = [storage.data_ptr() for storage in storages_on(torch, torch.device("cpu"))]
    for tensor in (model.one.weight, model.one.bias, model.two.bias, model.kept["table"]):
        assert found.count(tensor.untyped_storage().data_ptr()) == 1


def test_tensors_that_are_made_of_others_and_the_compilers_stand_ins_are_no_obstacle() -> None:
    with FakeTensorMode():
        stand_in = torch.empty(4, 4)
    # As the tensors of quantisation libraries, it has no memory of its own.
    made = TwoTensor(torch.arange(3.0), torch.arange(4.0, 7.0))
    parts = [made.a.untyped_storage(), made.b.untyped_storage()]
    found = {storage.data_ptr() for storage in storages_on(torch, torch.device("cpu"))}
    assert {storage.data_ptr() for storage in parts} <= found
    moved = to_host(torch, parts, pinned=False)
    to_device(torch, moved)
    assert made.a.tolist() == [0.0, 1.0, 2.0]
    assert made.b.tolist() == [4.0, 5.0, 6.0]
    assert stand_in.shape == (4, 4)


def test_on_the_cpu_nothing_is_moved_and_it_says_so() -> None:
    rest = DeviceRest("cpu")
    rested = rest.rest()
    assert (rested.freed_bytes, rested.host_bytes) == (0, 0)
    assert "computes on the CPU" in rested.note
    rest.rouse()


class _FakeCuda:
    """What torch.cuda says of a device that has 1000 bytes reserved, of which the cache alone is 100."""

    def __init__(self) -> None:
        self.reserved = 1000

    def synchronize(self, device: str = "") -> None: ...

    def memory_reserved(self, device: str) -> int:
        return self.reserved

    def empty_cache(self) -> None:
        self.reserved -= 100


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> _FakeCuda:
    fake = _FakeCuda()
    monkeypatch.setattr(torch, "cuda", fake)
    return fake


def _found(monkeypatch: pytest.MonkeyPatch, *tensors: torch.Tensor) -> None:
    storages = [tensor.untyped_storage() for tensor in tensors]
    find: Callable[..., object] = lambda *_: storages  # noqa: E731
    monkeypatch.setattr(device_rest, "storages_on", find)


@pytest.mark.usefixtures("cuda")
def test_without_room_on_the_host_the_weights_stay_and_the_note_says_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    weight = torch.ones(200)
    _found(monkeypatch, weight)
    rested = DeviceRest("cuda:0", host_free_bytes=lambda: 1000).rest()
    assert (rested.freed_bytes, rested.host_bytes) == (100, 0)
    # 800 bytes, in a power of two.
    assert rested.note == (
        "1024 bytes would have to be kept on the host, of whose memory 1000 are free: raise the memory limit"
    )
    assert torch.equal(weight, torch.ones(200))


@pytest.mark.usefixtures("cuda")
def test_code_that_recorded_addresses_keeps_its_weights_where_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    weight = torch.ones(256)
    _found(monkeypatch, weight)
    fixed = fixed_by("reduce-overhead", "cuda:0")
    rested = DeviceRest("cuda:0", fixed=fixed, host_free_bytes=lambda: 10**9).rest()
    assert (rested.host_bytes, rested.note) == (0, fixed)
    assert "compile.mode reduce-overhead records where the weights lie" in fixed
    assert weight.untyped_storage().nbytes() == 1024


@pytest.mark.parametrize("mode", ["", "off", "default"])
def test_other_code_does_not_mind(mode: str) -> None:
    assert fixed_by(mode, "cuda:0") == ""
    assert fixed_by("reduce-overhead", "cpu") == ""
