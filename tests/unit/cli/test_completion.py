"""Names for the shell, from a kubectl that is scripted."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from atheria_cli import completion
from atheria_cli.kubectl_completion import candidates

KUBECTL = """#!{python}
import sys, time
arguments = sys.argv[1:]
with open("asked", "a") as asked:
    asked.write(" ".join(arguments) + "\\n")
if "slow" in arguments:
    time.sleep(600)
elif "config" in arguments:
    print("kind-a\\neu/prod")
elif "namespaces" in arguments:
    print("namespace/default\\nnamespace/demo")
else:
    print("atheriamodel.atheria.dev/qca\\natheriamodel.atheria.dev/writer")
"""


@pytest.fixture(autouse=True)
def _kubectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "kubectl"
    program.write_text(KUBECTL.format(python=sys.executable))
    program.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(completion, "WAIT_SECONDS", 60.0)


def asked() -> str:
    return Path("asked").read_text().splitlines()[-1]


def test_models_are_asked_for_where_the_words_before_say() -> None:
    assert candidates(["explain", "--context", "kind-a", "-n", "demo", ""]) == ["qca", "writer"]
    assert asked() == "--context kind-a get atheriamodels.atheria.dev -n demo -o name --request-timeout=60s"
    assert candidates(["watch", "-A", "qca", ""]) == ["writer"], "what is typed already is left out"
    assert "--all-namespaces" in asked()
    assert candidates(["replay", "calls.csv", "--model", "q"]) == ["qca"]


def test_namespaces_and_contexts_are_offered() -> None:
    assert candidates(["list", "-n", "d"]) == ["default", "demo"]
    assert candidates(["list", "--context", ""]) == ["eu/prod", "kind-a"]
    assert candidates(["list", "--outp"]) == ["--output\ttable for people, json for programs."]


def test_a_word_with_a_quote_offers_nothing() -> None:
    assert candidates(["get", "it's"]) == []


def test_a_cluster_that_does_not_answer_in_time_offers_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(completion, "WAIT_SECONDS", 0.5)
    assert candidates(["get", "--context", "slow", ""]) == []


def test_a_kubectl_that_asks_for_a_name_or_password_reads_nothing_of_what_the_person_types(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    typed: list[Any] = []

    def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        typed.append(options["input"])
        return subprocess.CompletedProcess(command, 0, stdout="kind-a\n", stderr="")

    monkeypatch.setattr(subprocess, "run", run)
    assert candidates(["list", "--context", ""]) == ["kind-a"]
    assert typed == [""]


def test_without_kubectl_nothing_is_offered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    assert candidates(["get", ""]) == []
