"""When the API server serves a definition, and how its absence is told."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from atheria_local.definitions import not_established, wait_established
from atheria_local.errors import LocalError


def definition(name: str, status: Any) -> dict[str, Any]:
    """One as the API server answers it."""
    return {"metadata": {"name": name}, "status": status}


SERVED = {
    "conditions": [{"type": "NamesAccepted", "status": "True"}, {"type": "Established", "status": "True"}]
}


def test_a_definition_whose_conditions_nobody_has_written_is_not_served() -> None:
    found = [
        definition("none", None),
        definition("null", {"conditions": None}),
        definition("first", {"conditions": [{"type": "NamesAccepted", "status": "True"}]}),
        definition("false", {"conditions": [{"type": "Established", "status": "False"}]}),
        definition("served", SERVED),
    ]
    assert not_established(found) == ["none", "null", "first", "false"]


def kubectl_that_answers(folder: Path, *answers: Any) -> list[str]:
    """A program that prints the answers one after the other, the last one for ever."""
    file = folder / "answers.json"
    file.write_text(json.dumps(answers), encoding="utf-8")
    program = (
        "import json, pathlib, sys\n"
        f"file = pathlib.Path({str(file)!r})\n"
        "first, *rest = json.loads(file.read_text())\n"
        "file.write_text(json.dumps(rest or [first]))\n"
        "print(json.dumps(first))\n"
    )
    return [sys.executable, "-c", program]


def test_it_is_asked_again_until_all_are_served(tmp_path: Path) -> None:
    listed = [definition("a", SERVED), definition("b", {"conditions": None})]
    kubectl = kubectl_that_answers(tmp_path, {"items": listed}, definition("b", SERVED))
    wait_established(kubectl)
    assert json.loads((tmp_path / "answers.json").read_text())[0]["metadata"]["name"] == "b"


def test_after_its_time_it_names_those_that_are_not_served(tmp_path: Path) -> None:
    kubectl = kubectl_that_answers(tmp_path, definition("late", {}))
    with pytest.raises(LocalError, match="not served after 0 s: late"):
        wait_established(kubectl, "late", timeout_seconds=0)
