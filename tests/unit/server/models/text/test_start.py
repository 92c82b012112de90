"""How much of a GPU a text model plans with, on a device that the test plays."""

from __future__ import annotations

import pytest
import torch

from atheria_server.models.text.start import _default_bytes

TOTAL, WEIGHTS, FREED = 24_000, 4_000, 4_000


class Device:
    """Torch holds on to what was freed until it is told to give it back."""

    def __init__(self) -> None:
        self.kept = FREED

    def empty_cache(self) -> None:
        self.kept = 0

    def memory_reserved(self, _: str) -> int:
        return WEIGHTS + self.kept

    def mem_get_info(self, _: str) -> tuple[int, int]:
        return TOTAL - WEIGHTS - self.kept, TOTAL


@pytest.mark.parametrize(("workers", "expected"), [(1, 16_000), (2, 6_400)])
def test_memory_that_is_freed_and_not_given_back_is_not_taken_off_the_cache(
    monkeypatch: pytest.MonkeyPatch, workers: int, expected: int
) -> None:
    device = Device()
    for name in ("empty_cache", "memory_reserved", "mem_get_info"):
        monkeypatch.setattr(torch.cuda, name, getattr(device, name))
    assert _default_bytes("cuda:0", workers) == expected
