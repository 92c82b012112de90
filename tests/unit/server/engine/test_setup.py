from __future__ import annotations

import pytest
import torch

from atheria_contract.serving import ServingConfig
from atheria_server.engine.setup import build, set_up
from atheria_server.models.text import start
from atheria_server.models.text.api import TextApi


def test_a_text_model_plans_its_cache_for_as_many_workers_as_share_the_device(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    threads = torch.get_num_threads()
    asked: list[tuple[str, int]] = []

    def default_bytes(device: str, workers: int) -> int:
        asked.append((device, workers))
        return 1 << 26

    monkeypatch.setattr(start, "_default_bytes", default_bytes)
    config = ServingConfig(name="m", source="builtin://sceneline", parameters={"threads": 1}, workers=3)
    try:
        ready = set_up(build(config), config, "cpu", lambda _: None)
    finally:
        torch.set_num_threads(threads)
    assert isinstance(ready.model, TextApi)
    assert asked == [("cpu", 3)]
