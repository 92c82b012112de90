"""`atheria-server train`: the training of the built-in model's laws, by `models.qca.train`."""

from __future__ import annotations

from collections.abc import Sequence

from atheria_server.models.qca.train import command


def main(arguments: Sequence[str]) -> int:
    """The exit code; see `command.main`."""
    return command.main(arguments)
