"""The demo on a cluster, for programs: what it says while it waits."""

from __future__ import annotations

import json
from typing import Any

from rich.console import Console

from atheria_cli.cluster import Cluster
from atheria_cli.demo.show import follow_until_ready
from atheria_cli.options import Output
from atheria_cli.progress import Progress


def model(status: str, reason: str) -> dict[str, Any]:
    condition = {"type": "Ready", "status": status, "reason": reason, "message": f"[{reason}]"}
    return {
        "metadata": {"generation": 1},
        "status": {"observedGeneration": 1, "conditions": [condition]},
    }


class Scripted(Cluster):
    """A model that loads, twice the same, and is then ready."""

    def get(self, kind: str, name: str, namespace: str) -> dict[str, Any]:
        answers = [model("False", "Loading"), model("False", "Loading"), model("True", "Ready")]
        number = len(ASKED)
        ASKED.append(name)
        return answers[number]


ASKED: list[str] = []


def test_each_change_of_the_condition_is_a_document_and_for_people_a_line() -> None:
    for output in (Output.JSON, Output.TABLE):
        ASKED.clear()
        console = Console(width=200)
        with console.capture() as printed:
            follow_until_ready(Scripted(), Progress(console, output), timeout_seconds=60)
        lines = printed.get().splitlines()
        assert len(lines) == 2, "the same words are not said twice"
        if output is Output.JSON:
            found = [json.loads(line) for line in lines]
            assert [one["condition"]["reason"] for one in found] == ["Loading", "Ready"]
            assert all(
                one["said"].endswith(f"s  {one['condition']['reason']}: [{one['condition']['reason']}]")
                for one in found
            )
            assert all(one["said"][0].isdigit() for one in found), "no markup"
        else:
            assert lines[0].endswith("s  Loading: [Loading]")
