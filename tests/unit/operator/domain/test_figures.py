"""What metrics tell of a model's status."""

from __future__ import annotations

from atheria_operator.domain.status.figures import ConditionFigure, StatusFigures, figures_of

STATUS = {
    "phase": "Serving",
    "replicas": 2,
    "conditions": [{"type": "Ready", "status": "True", "reason": "Ready", "message": "2 of 2 pods"}],
    "revisions": [{"name": "qca-a", "weight": 90}, {"name": "qca-b", "weight": 10}],
    "coldStart": {
        "pod": "qca-a-1",
        "startedAt": "1970-01-01T00:01:40Z",
        "scheduledSeconds": 1.0,
        "totalSeconds": 30.5,
    },
    "cost": {
        "usdPerHour": 3.6,
        "busySeconds": 1000.0,
        "idleSeconds": 500,
        "loadingSeconds": 0,
        "reservedPer1000": 0.2,
        "busyPer1000": 0.1,
    },
}


def test_a_serving_model_has_all_figures() -> None:
    assert figures_of(STATUS) == StatusFigures(
        phase="Serving",
        conditions=(ConditionFigure(type="Ready", status="True", reason="Ready"),),
        weights_percent=(("qca-a", 90), ("qca-b", 10)),
        cold_start_seconds=(("scheduled", 1.0), ("total", 30.5)),
        cold_start_at_seconds=100.0,
        pods=2,
        pod_usd_per_hour=3.6,
        pod_seconds=(("busy", 1000.0), ("idle", 500.0), ("loading", 0.0)),
        usd_per_1000_calls=(("reserved", 0.2), ("busy", 0.1)),
    )


def test_a_new_model_has_no_figure_that_was_not_measured() -> None:
    assert figures_of({"phase": "Creating"}) == StatusFigures(phase="Creating")


def test_without_a_price_seconds_are_told_and_no_money() -> None:
    seconds = {name: value for name, value in STATUS["cost"].items() if name.endswith("Seconds")}  # type: ignore[attr-defined]
    figures = figures_of({**STATUS, "cost": seconds})
    assert (figures.pod_usd_per_hour, figures.usd_per_1000_calls) == (None, ())
    assert dict(figures.pod_seconds)["busy"] == 1000.0


def test_a_start_without_a_readable_time_has_seconds_but_no_moment() -> None:
    figures = figures_of({"coldStart": {"startedAt": "soon", "totalSeconds": 3}})
    assert (figures.cold_start_seconds, figures.cold_start_at_seconds) == ((("total", 3.0),), None)
