"""With named namespaces operator, gateway and uninstall hook serve these, by the chart's Roles alone, and no others."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from atheria_contract import names
from atheria_gateway.adapters.kube import Kube, connect
from atheria_gateway.core.model import ModelKey
from atheria_gateway.runtime.ports import Changed, ScaleTarget, Watched, WatchEvent
from atheria_operator import settings
from bench.installation import rendered_rights
from tests.integration.operator.harness import SYSTEM_NAMESPACE, Namespace, OperatorProcess, eventually


class Install:
    """A release for two namespaces beside one that it is not for."""

    def __init__(self, cluster: Any, folder: Path) -> None:
        self.cluster = cluster
        self._folder = folder
        suffix = uuid.uuid4().hex[:8]
        self.one, self.two, self.other = (
            Namespace(cluster, f"{name}-{suffix}") for name in ("one", "two", "other")
        )
        self.names = [self.one.name, self.two.name]
        for space in (self.one, self.two, self.other):
            cluster.kubectl("create", "namespace", space.name)
        self._objects: list[dict[str, Any]] = []
        self.grant(self.one, self.two)

    def grant(self, *spaces: Namespace) -> None:
        """What the chart renders for these namespaces."""
        value = f"operator.namespaces={{{','.join(space.name for space in spaces)}}}"
        found = rendered_rights("operator-rbac", "gateway-rbac", "uninstall", values=[value])
        objects = [item for item in found if "Role" in item["kind"] or item["kind"] == "ServiceAccount"]
        self._objects += objects
        self.cluster.apply(*objects)
        for space in spaces:
            for account in ("operator", "gateway"):
                eventually(
                    f"the rights of {account} in {space.name}", partial(self._may_list, account, space)
                )

    def _may_list(self, account: str, space: Namespace) -> bool:
        """The API server's own watch of roles is a moment behind, and who is refused meanwhile looks again only after 15 s."""
        whom = f"--as=system:serviceaccount:{SYSTEM_NAMESPACE}:atheria-{account}"
        question = ("auth", "can-i", "list", f"{names.MODEL_PLURAL}.{names.GROUP}", "-n", space.name, whom)
        return self.cluster.run(*question).returncode == 0

    def kubeconfig(self, account: str) -> Path:
        """With the account's own token."""
        file: Path = self.cluster.kubeconfig_of_the_operator(self._folder / account, f"atheria-{account}")
        return file

    def operator(self, namespaces: Sequence[str] = ()) -> OperatorProcess:
        """Not started; of the two namespaces, or of others."""
        value = ",".join(namespaces or self.names)
        return OperatorProcess(self._folder, self.kubeconfig("operator"), **{settings.ENV_NAMESPACES: value})

    def remove(self) -> None:
        """What was made."""
        items = {"apiVersion": "v1", "kind": "List", "items": self._objects}
        self.cluster.kubectl("delete", "-f", "-", "--ignore-not-found", stdin=json.dumps(items))
        for space in (self.one, self.two, self.other):
            self.cluster.kubectl("delete", "namespace", space.name, "--wait=false", "--ignore-not-found")


@pytest.fixture
def install(cluster: Any, operator: Any, tmp_path: Path) -> Iterator[Install]:
    """The operator of all namespaces rests meanwhile: there is one Lease."""
    operator.terminate()
    made = Install(cluster, tmp_path)
    try:
        yield made
    finally:
        made.remove()
        operator.start()


@pytest.fixture
def named(install: Install) -> Iterator[OperatorProcess]:
    """The operator of the named namespaces."""
    process = install.operator()
    try:
        process.start()
        yield process
    finally:
        process.kill()


def test_models_of_the_named_namespaces_are_served_by_roles_alone(
    install: Install, named: OperatorProcess
) -> None:
    for space in (install.other, install.one, install.two):
        space.apply_model()
    for space in (install.one, install.two):
        revision = space.wait_active()
        space.kubectl("delete", "service", "qca")
        eventually("the Service again", lambda s=space: s.cluster.find("service", "qca", "-n", s.name))
        space.kubectl("patch", "am", "qca", "--type=merge", "-p", '{"spec":{"scaling":{"minReplicas":1}}}')
        space.wait_replicas("deployment", revision, 1)
        space.make_ready(revision)
        space.wait_condition("Ready", "True")
        assert space.get("events")["items"], "no Event was written"
    assert "status" not in install.other.model()
    assert install.other.get("deployments")["items"] == []
    install.one.kubectl("delete", "am", "qca", "--timeout=20s")
    # As a status, not as a part of a time, a port or a name.
    assert not re.search(r"""(?:\s|status=|code['"]:)403\b""", named.log)
    assert "forbidden" not in named.log.lower()


def test_a_named_namespace_without_a_role_costs_the_others_nothing(install: Install) -> None:
    # As after its deletion, which takes its Role along; in the end it gets one.
    names_of_roles = [*install.names, install.other.name]
    process = install.operator(names_of_roles)
    try:
        process.start()
        install.one.apply_model()
        install.one.wait_active()
        assert f"namespace={install.other.name} is refused" in process.log
        install.grant(install.other)
        install.other.apply_model()
        eventually("the third served", lambda: install.other.model().get("status"), 60)
        assert process.is_running
        install.one.apply_model("second")
        install.one.wait_active("second")
    finally:
        process.kill()


async def test_a_gateway_of_named_namespaces_sees_these_and_wakes_their_models(install: Install) -> None:
    for space in (install.one, install.two, install.other):
        space.apply_model()
    kube = Kube(
        await connect(str(install.kubeconfig("gateway"))),
        pod_namespace=SYSTEM_NAMESPACE,
        # The third has no Role, as if it had been deleted: the others are served all the same.
        namespaces=[*install.names, install.other.name],
    )
    try:
        async with asyncio.timeout(60):
            events = kube.follow(Watched.MODELS)
            listed = await anext(events)
            assert sorted(_namespaces(listed)) == sorted(install.names)
            install.two.apply_model("second")
            changed = await anext(events)
            while not (isinstance(changed, Changed) and changed.body["metadata"]["name"] == "second"):
                changed = await anext(events)
            key = ModelKey(namespace=install.one.name, name="qca")
            assert await kube.scale_from_zero(ScaleTarget.MODEL, key)
            slices = await anext(kube.follow(Watched.SLICES))
            assert _namespaces(slices) == []
            pods = await anext(kube.follow(Watched.PODS))
            assert _namespaces(pods) == []
    finally:
        await kube.close()
    assert install.one.replicas(names.MODEL_PLURAL, "qca") == 1


def test_the_uninstall_hook_of_named_namespaces_frees_their_models(
    install: Install, named: OperatorProcess
) -> None:
    install.one.apply_model()
    install.one.wait_active()
    named.terminate()
    done = subprocess.run(
        [
            sys.executable, "-m", "atheria_operator.uninstall", "--namespace", SYSTEM_NAMESPACE,
            "--deployment", "atheria-operator", "--namespaces", ",".join(install.names),
            "--timeout-seconds", "20",
        ],
        env={"KUBECONFIG": str(install.kubeconfig("uninstall"))},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not install.one.model()["metadata"].get("finalizers")


def _namespaces(event: WatchEvent) -> list[str]:
    return [body["metadata"]["namespace"] for body in getattr(event, "objects", ())]
