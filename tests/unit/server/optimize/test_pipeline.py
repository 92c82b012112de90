"""What the pipeline asks of a LitAPI whose author knows nothing of the server's own methods."""

from __future__ import annotations

import litserve

from atheria_contract.serving import ServingConfig
from atheria_server.engine.phases import no_progress
from atheria_server.optimize.loaded import LoadedModel
from atheria_server.optimize.pipeline import prepare


class PlainApi(litserve.LitAPI):  # type: ignore[misc]
    """Its own methods happen to be called as some of the text runtime's."""

    def setup(self, device: str) -> None:
        """Nothing to load."""

    def check_device(self, device: str) -> str:
        """Of its author's."""
        return device

    def cache_report(self) -> list[int]:
        """Of its author's."""
        return [1, 2]


def test_methods_of_a_users_own_that_are_called_alike_are_left_alone() -> None:
    config = ServingConfig(name="m", source="builtin://echo")
    loaded = LoadedModel(api=PlainApi(), device="cpu")
    prepared = prepare(loaded, config, reload=lambda: None, progress=no_progress)
    assert prepared.report["kv_cache"] is None
