"""When the API server serves a definition, and how its absence is told."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from atheria_local.definitions import delete_definitions, not_established, wait_established
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
    """A program that prints the answers one after the other, the last one for ever; a text as it is, so as a list of kinds."""
    file = folder / "answers.json"
    file.write_text(json.dumps(answers), encoding="utf-8")
    program = (
        "import json, pathlib, sys\n"
        f"file = pathlib.Path({str(file)!r})\n"
        "first, *rest = json.loads(file.read_text())\n"
        "file.write_text(json.dumps(rest or [first]))\n"
        "print(first if isinstance(first, str) else json.dumps(first))\n"
    )
    return [sys.executable, "-c", program]


def test_it_is_asked_again_until_all_are_served(tmp_path: Path) -> None:
    listed = [definition("a", SERVED), definition("b", {"conditions": None})]
    served = [definition("a", SERVED), definition("b", SERVED)]
    kubectl = kubectl_that_answers(tmp_path, {"items": listed}, {"items": served}, "a\nb\n", "the last")
    wait_established(kubectl)
    assert json.loads((tmp_path / "answers.json").read_text()) == ["the last"]


def test_one_that_is_established_and_not_listed_yet_is_waited_for(tmp_path: Path) -> None:
    late = definition("late", SERVED)
    kubectl = kubectl_that_answers(tmp_path, late, "pods\n", late, "pods\nlate\n", "the last")
    wait_established(kubectl, "late")
    assert json.loads((tmp_path / "answers.json").read_text()) == ["the last"]


def test_after_its_time_it_names_those_that_are_not_served(tmp_path: Path) -> None:
    kubectl = kubectl_that_answers(tmp_path, definition("late", {}))
    with pytest.raises(LocalError, match="not served after 0 s: late"):
        wait_established(kubectl, "late", timeout_seconds=0)


def test_a_deletion_that_the_api_server_has_put_off_is_nudged_until_it_is_over(tmp_path: Path) -> None:
    going = {"metadata": {"name": "a", "deletionTimestamp": "now"}}
    other = definition("b", SERVED)
    # The deletion, a look, a nudge, and a look at what is left.
    kubectl = kubectl_that_answers(
        tmp_path, "", {"items": [going, other]}, "", {"items": [other]}, "the last"
    )
    delete_definitions(kubectl, "a", "not there")
    assert json.loads((tmp_path / "answers.json").read_text()) == ["the last"]


def test_a_definition_that_stays_is_named(tmp_path: Path) -> None:
    going = {"metadata": {"name": "a", "deletionTimestamp": "now"}}
    kubectl = kubectl_that_answers(tmp_path, {"items": [going]})
    with pytest.raises(LocalError, match="not deleted after 0 s: a "):
        delete_definitions(kubectl, "a", timeout_seconds=0)
