"""One row a model, from what the API server gives."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.console import Console

from atheria_cli.model.summary import duration, summarize
from atheria_cli.model.tables import detail, models_table

NOW = datetime(2026, 1, 2, tzinfo=UTC)
BODY: dict[str, Any] = {
    "metadata": {"namespace": "demo", "name": "qca", "creationTimestamp": "2026-01-01T00:00:00Z"},
    "spec": {"replicas": 2, "model": {"source": "builtin://qca"}},
    "status": {
        "conditions": [
            {"type": "Ready", "status": "False", "reason": "NoNode", "message": "no node has an L4"},
            {"type": "Progressing", "status": "False", "reason": "Complete", "message": "all calls on qca-1"},
        ],
        "readyReplicas": 1,
        "queue": 7,
        "activeRevision": "qca-1",
        "phase": "WaitingForGPU",
        "url": "qca.demo:8001",
        "fault": {"reason": "NoNode", "nextStep": "add an L4 pool"},
        "hardware": {
            "profile": "nvidia-l4",
            "why": "named",
            "neededBytes": 2**30,
            "memoryBytes": 22 * 2**30,
            "basis": "declared",
        },
        "cost": {
            "usdPerHour": 0.6,
            "reservedPer1000": 0.0123456,
            "paidUsd": 1.5,
            "idleUsd": 0.5,
            "calls": 99,
            "since": "2026-01-01T00:00:00Z",
            "basis": "measured",
            "busyBasis": "modelled",
            "priceSource": "a page",
            "priceDate": "2026-05",
        },
        "revisions": [{"name": "qca-1", "weight": 100, "replicas": 2, "readyReplicas": 1}],
    },
}


def shown(renderable: Any) -> str:
    console = Console(width=400)
    with console.capture() as printed:
        console.print(renderable)
    return " ".join(printed.get().split())


def test_a_row_has_what_kubectl_get_shows_and_what_it_costs() -> None:
    row = summarize(BODY, NOW)
    assert (row.ready, row.reason, row.replicas_ready, row.replicas_asked, row.queue) == (
        "False",
        "NoNode",
        1,
        2,
        7,
    )
    assert row.usd_per_1000 == 0.0123456
    assert row.age_seconds == timedelta(days=1).total_seconds()
    assert "demo qca False NoNode 1/2 7 nvidia-l4 0.01235 qca-1 24h" in shown(
        models_table([row], with_namespace=True, width=400)
    )
    assert "demo" not in shown(models_table([row], with_namespace=False, width=400))


def test_a_model_that_the_operator_has_not_seen_is_shown_as_such() -> None:
    row = summarize({"metadata": {"name": "new"}}, NOW)
    assert (row.ready, row.reason, row.usd_per_1000) == ("Unknown", "", None)
    assert "not seen by the operator yet" in shown(models_table([row], with_namespace=False, width=400))
    assert replace(row, name="other") != row


def test_the_details_begin_with_the_next_step_and_mark_what_is_modelled() -> None:
    words = shown(detail(BODY, NOW))
    assert words.index("next step: add an L4 pool") < words.index("CONDITION")
    assert "1.00 of 22.0 GiB a device (declared)" in words
    assert "0.01235 USD per 1000 calls (measured)" in words
    assert "idle 0.5 USD (modelled); 0.6 USD/h from a page, 2026-05" in words
    assert "rollout all calls on qca-1" in words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0s"), (119, "119s"), (120, "2m"), (7199, "119m"), (7200, "2h"), (172800, "2d")],
)
def test_ages_read_as_kubectls(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_a_narrow_terminal_gets_fewer_columns_and_whole_names() -> None:
    rows = [summarize(BODY, NOW)]
    for width in (120, 60, 40, 24):
        console = Console(width=width)
        with console.capture() as printed:
            console.print(models_table(rows, with_namespace=True, width=width))
        lines = printed.get().splitlines()
        assert len(lines) == 2, "a head and a row"
        assert max(map(len, lines)) <= width
        assert "qca" in lines[1].split()
        assert "False" in lines[1].split()
        assert "…" not in printed.get()
        assert ("REVISION" in lines[0]) == (width == 120)


def test_the_details_cut_no_word_on_a_narrow_terminal() -> None:
    console = Console(width=40)
    with console.capture() as printed:
        console.print(detail(BODY, NOW))
    assert "…" not in printed.get()


def test_the_details_of_a_model_that_the_operator_has_not_seen_say_what_to_look_at() -> None:
    words = shown(detail({"metadata": {"name": "new"}}, NOW))
    assert "the operator has not seen the spec as it is now; atheria doctor" in words
    assert "CONDITION" not in words
