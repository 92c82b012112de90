"""After an operator upgrade models follow one after the other: the image where they opted in, other settings all of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from atheria_contract import names
from atheria_operator.settings import ENV_MODEL_OTLP_ENDPOINT, ENV_NAMESPACES, ENV_PULL_POLICY
from tests.integration.operator.harness import OperatorProcess, eventually, running_operator

COLLECTOR = "http://collector:4317"
NEWER = "localhost/atheria/server:newer"
MODELS = ("first", "second", "third")
REFUSAL = "atheria-server: error: DigestMismatch: other bytes"


class Models:
    """Three models that serve, with the annotation."""

    def __init__(self, space: Any) -> None:
        self.space = space
        self.old: dict[str, str] = {}
        for name in MODELS:
            space.apply_model(name, scaling={"minReplicas": 1})
        for name in MODELS:
            self.old[name] = space.wait_active(name)
            space.make_ready(self.old[name])
            space.wait_condition("Ready", "True", name=name)
            space.kubectl("annotate", "am", name, f"{names.ANNOTATION_UPGRADE}={names.UPGRADE_NOW}")

    def begun(self) -> dict[str, str]:
        """Revisions with the new image, by model."""
        return {
            item["metadata"]["labels"][names.LABEL_MODEL]: item["metadata"]["name"]
            for item in self.space.get("deployments")["items"]
            if item["metadata"]["annotations"][names.ANNOTATION_SERVER_IMAGE] == NEWER
        }

    def wait_begun(self, count: int) -> dict[str, str]:
        """Once so many models have one; never one more."""

        def look() -> dict[str, str] | None:
            found = self.begun()
            assert len(found) <= count, f"{sorted(found)} have begun"
            return found if len(found) == count else None

        return eventually(f"{count} models with the new image", look, 60)

    def upgrade_reason(self, name: str) -> str:
        """Of the condition UpgradeAvailable."""
        return str(self.space.conditions(name).get("UpgradeAvailable", {}).get("reason"))

    def wait_others_wait(self, *others: str, reason: str = "WaitsForItsTurn") -> None:
        for name in others:
            self.space.wait_condition("UpgradeAvailable", "True", reason, name=name)

    def finish(self, name: str, revision: str) -> None:
        """Its new pods are ready, and it takes all calls."""
        self.space.make_ready(revision)
        eventually(f"{name} upgraded", lambda: self.space.wait_active(name) == revision or None)

    def refuse(self, revision: str) -> None:
        """The server in the new pod ends with a refusal."""
        (pod,) = self.space.wait_pods(revision)
        ended = {"terminated": {"exitCode": 1, "message": REFUSAL}}
        self.space.set_pod(pod["metadata"]["name"], state=ended)


@pytest.fixture
def models(operator: Any, bare: Any) -> Models:
    return Models(bare)


def with_newer_image(
    cluster: Any, operator: Any, tmp_path: Path, run: Callable[[OperatorProcess], None]
) -> None:
    """`run` under an operator with another default image, in place of the one of all tests."""
    with instead(operator, cluster, tmp_path, **{names.ENV_SERVER_IMAGE: NEWER}) as newer:
        run(newer)


@contextmanager
def instead(operator: Any, cluster: Any, tmp_path: Path, **environment: str) -> Iterator[OperatorProcess]:
    """An operator with other settings, in place of the one of all tests."""
    operator.terminate()
    try:
        with running_operator(cluster, tmp_path, **environment) as other:
            yield other
    finally:
        operator.start()


def test_three_models_follow_one_after_the_other_also_over_a_restart(
    cluster: Any, operator: Any, models: Models, tmp_path: Path
) -> None:
    def run(newer: OperatorProcess) -> None:
        done: list[str] = []
        for count in (1, 2, 3):
            (name,) = set(begun := models.wait_begun(count)) - set(done)
            waiting = [other for other in MODELS if other not in (name, *done)]
            models.wait_others_wait(*waiting)
            if count == 2:
                newer.kill()
                newer.start()
                # It has looked at all of them again, and nobody has begun besides.
                models.wait_others_wait(*waiting)
                models.space.wait_condition("Progressing", "True", name=name)
                assert set(models.begun()) == {name, *done}
            models.finish(name, begun[name])
            done.append(name)
        for name in MODELS:
            models.space.wait_condition("UpgradeAvailable", "False", "UpToDate", name=name)

    with_newer_image(cluster, operator, tmp_path, run)


def test_one_that_is_rolled_back_stops_the_others_until_it_does_not_follow_any_more(
    cluster: Any, operator: Any, models: Models, tmp_path: Path
) -> None:
    def run(_: OperatorProcess) -> None:
        ((name, revision),) = models.wait_begun(1).items()
        others = [other for other in MODELS if other != name]
        models.refuse(revision)
        models.space.wait_condition("Progressing", "False", "RolledBack", name=name)
        assert models.space.wait_active(name) == models.old[name]
        models.wait_others_wait(*others, reason="UpgradesStopped")
        for other in others:
            message = models.space.conditions(other)["UpgradeAvailable"]["message"]
            assert f"{models.space.name}/{name} was rolled back" in message

        def warned() -> set[str]:
            return {
                item["involvedObject"]["name"]
                for item in models.space.get("events")["items"]
                if item["reason"] == "UpgradesStopped" and item["type"] == "Warning"
            }

        eventually("a warning for each of the others", lambda: warned() >= set(others))
        assert warned() == set(others)
        assert set(models.begun()) == {name}
        models.space.kubectl("annotate", "am", name, f"{names.ANNOTATION_UPGRADE}-")

        def another() -> str | None:
            return next((one for one in models.begun() if one != name), None)

        following = eventually("another model's turn", another)
        models.wait_others_wait(*(other for other in others if other != following))

    with_newer_image(cluster, operator, tmp_path, run)


def test_a_collector_and_another_pull_policy_come_first_to_a_model_at_zero_then_to_one_after_the_other(
    cluster: Any, operator: Any, bare: Any, tmp_path: Path
) -> None:
    old = {}
    bare.apply_model("zero", scaling={"initialReplicas": 0})
    for name in ("first", "second", "leaving"):
        bare.apply_model(name, scaling={"minReplicas": 1})
    for name in ("first", "second", "leaving"):
        old[name] = bare.wait_active(name)
        bare.make_ready(old[name])
        bare.wait_condition("Ready", "True", name=name)
    bare.wait_condition("Ready", "True", "ScaledToZero", name="zero")
    # Somebody's finalizer holds it: nobody waits to hear of it.
    hold(bare, "leaving", ["example.org/mine"])
    bare.kubectl("delete", "am", "leaving", "--wait=false")
    changed = {ENV_PULL_POLICY: "Always", ENV_MODEL_OTLP_ENDPOINT: COLLECTOR, ENV_NAMESPACES: bare.name}
    with instead(operator, cluster, tmp_path, **changed):
        begun = wait_with_collector(bare, {"zero", "first"})
        bare.wait_condition("UpgradeAvailable", "True", "WaitsForItsTurn", name="second")
        assert "tracing" in bare.conditions("second")["UpgradeAvailable"]["message"]
        assert bare.wait_active("zero") == begun["zero"]
        bare.make_ready(begun["first"])
        begun = wait_with_collector(bare, {"zero", "first", "second"})
        assert bare.wait_active("first") == begun["first"] != old["first"], (
            "it is through before the next one"
        )
        bare.make_ready(begun["second"])
        for name in ("first", "second", "zero"):
            bare.wait_condition("UpgradeAvailable", "False", "UpToDate", name=name)
            bare.wait_active(name, other_than=old.get(name, ""))
    hold(bare, "leaving", [])


def hold(space: Any, name: str, finalizers: list[str]) -> None:
    """Let these finalizers be all of a model's."""
    space.kubectl(
        "patch", "am", name, "--type=merge", "-p", json.dumps({"metadata": {"finalizers": finalizers}})
    )


def wait_with_collector(space: Any, models: set[str]) -> dict[str, str]:
    """Revisions whose pods know the collector, by model, once these models have one; never another one."""

    def look() -> dict[str, str] | None:
        found = {}
        for item in space.get("deployments")["items"]:
            (container,) = item["spec"]["template"]["spec"]["containers"]
            variables = {one["name"]: one.get("value") for one in container.get("env") or ()}
            if variables.get("OTEL_EXPORTER_OTLP_ENDPOINT") == COLLECTOR:
                assert container["imagePullPolicy"] == "Always", "both changes come as one"
                found[item["metadata"]["labels"][names.LABEL_MODEL]] = item["metadata"]["name"]
        assert set(found) <= models
        return found if set(found) == models else None

    return eventually(f"{sorted(models)} with a collector", look)
