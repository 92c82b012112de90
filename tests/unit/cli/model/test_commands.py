"""`atheria list`, `get`, `watch` with a scripted kubectl."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from rich.console import Console

from atheria_cli.errors import CommandError, ExitCode
from atheria_cli.model.commands import get_model, list_models, watch_models
from atheria_cli.options import Output


def model(name: str, ready: str = "True", pods: int = 1) -> dict[str, Any]:
    return {
        "metadata": {"namespace": "demo", "name": name},
        "spec": {"replicas": pods},
        "status": {"readyReplicas": pods, "conditions": [{"type": "Ready", "status": ready, "reason": "R"}]},
    }


class Kubectl:
    """Answers each `get` with the next list of models, the last for ever."""

    def __init__(self, *answers: list[dict[str, Any]]) -> None:
        self._answers: Iterator[list[dict[str, Any]]] = iter(answers)
        self._now: list[dict[str, Any]] = []
        self.asked: list[tuple[str, ...]] = []

    def kubectl(self, *arguments: str) -> str:
        self.asked.append(arguments)
        self._now = next(self._answers, self._now)
        return json.dumps({"items": self._now} if arguments[2].startswith("-") else self._now[0])


def printed(run: Any, *, terminal: bool = False) -> str:
    console = Console(width=300, force_terminal=terminal)
    with console.capture() as captured:
        run(console)
    return captured.get()


def watched(
    kubectl: Kubectl, output: Output = Output.TABLE, names: tuple[str, ...] = (), **options: Any
) -> str:
    given: dict[str, Any] = {"until_ready": True, "timeout_seconds": 60.0, **options}
    return printed(
        lambda console: watch_models(
            kubectl, names, "demo", output, console, everywhere=False, sleep=lambda _: None, **given
        )
    )


def test_models_are_listed_by_name_in_the_namespace_that_was_asked_for() -> None:
    kubectl = Kubectl([model("b"), model("a")])
    text = printed(lambda console: list_models(kubectl, "demo", Output.TABLE, console, everywhere=False))
    assert text.index("\na ") < text.index("\nb ")
    assert kubectl.asked == [("get", "atheriamodels.atheria.dev", "-n", "demo", "-o", "json")]


def test_the_list_for_programs_is_json_with_the_same_facts() -> None:
    text = printed(lambda c: list_models(Kubectl([model("a")]), "", Output.JSON, c, everywhere=True))
    (row,) = json.loads(text)
    assert (row["name"], row["ready"], row["replicas_asked"]) == ("a", "True", 1)


def test_an_empty_namespace_says_how_to_make_a_model() -> None:
    text = printed(lambda c: list_models(Kubectl([]), "", Output.TABLE, c, everywhere=False))
    assert "atheria apply" in text


def test_get_for_programs_is_the_object_itself() -> None:
    text = printed(lambda c: get_model(Kubectl([model("a")]), "a", "demo", Output.JSON, c))
    assert json.loads(text) == model("a")


def test_watch_prints_a_line_for_each_change_and_ends_when_all_are_ready() -> None:
    kubectl = Kubectl(
        [model("a", "False"), model("b")], [model("a", "False"), model("b")], [model("a"), model("b", pods=2)]
    )
    lines = watched(kubectl).splitlines()
    assert [line.split()[1:3] for line in lines] == [
        ["demo/a", "ready=False"],
        ["demo/b", "ready=True"],
        ["demo/a", "ready=True"],
        ["demo/b", "ready=True"],
    ]
    assert "pods=2/2" in lines[-1]


def test_watch_for_programs_prints_one_json_document_a_line_and_what_is_gone() -> None:
    lines = watched(Kubectl([model("a", "False"), model("b")], [model("b")]), Output.JSON).splitlines()
    assert [json.loads(line)["name"] for line in lines] == ["a", "b", "a"]
    assert json.loads(lines[-1])["gone"] is True


def test_watch_that_waits_in_vain_ends_with_the_exit_code_for_time_and_names_the_models() -> None:
    with pytest.raises(CommandError, match=r"not ready within 0.01 s: a \(R\)") as caught:
        watched(Kubectl([model("a", "False")]), timeout_seconds=0.01)
    assert caught.value.exit_code == ExitCode.TIMEOUT


def test_watch_of_a_model_that_does_not_exist_names_those_that_do() -> None:
    with pytest.raises(CommandError, match="no model 'c' here; there are: a, b") as caught:
        watched(Kubectl([model("a"), model("b")]), names=("c",))
    assert caught.value.exit_code == ExitCode.NOT_FOUND


def test_watch_on_a_terminal_draws_a_live_table() -> None:
    text = printed(
        lambda console: watch_models(
            Kubectl([model("a")]),
            (),
            "",
            Output.TABLE,
            console,
            everywhere=True,
            until_ready=True,
            timeout_seconds=5,
        ),
        terminal=True,
    )
    assert "NAMESPACE" in text


def test_a_model_that_waiting_does_not_mend_is_not_waited_for() -> None:
    refused = model("a", "False")
    refused["status"]["fault"] = {"reason": "R", "retriable": False, "nextStep": "add an L4 pool"}
    with pytest.raises(
        CommandError, match=r"a is not ready \(R\), and waiting does not mend it: add an L4 pool"
    ):
        watched(Kubectl([refused]), timeout_seconds=600)
    passing = model("a", "False")
    passing["status"]["fault"] = {"reason": "R", "retriable": True}
    assert "ready=True" in watched(Kubectl([passing], [model("a")]))


def test_a_refusal_of_the_spec_before_does_not_end_the_wait() -> None:
    old = model("a", "False")
    old["status"]["fault"] = {"reason": "R", "retriable": False}
    old["metadata"]["generation"] = 99
    assert "ready=True" in watched(Kubectl([old], [model("a")]))
