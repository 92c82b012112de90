"""What goes wrong: a weighted list of faults, each drawn with all its choices from one seeded generator.

The same seed gives the same faults at the same times; whom one hits also depends on what is there at that moment.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from atheria_contract import names
from bench.chaos.api import MERGE, NOT_FOUND, ApiError
from bench.chaos.gateways import Gateway
from bench.chaos.kubelet import Kubelet, PlayedPod
from bench.chaos.parts import Part
from bench.chaos.records import KILLED
from bench.chaos.world import MODELS, NAMESPACE, STEADY, World


@dataclass(slots=True, kw_only=True)
class Targets:
    """All that can be hit."""

    world: World
    kubelet: Kubelet
    operator: Part
    gateways: list[Gateway]
    api_server_is_up: bool = True


Fault = Callable[[Targets, random.Random], Awaitable[str]]
"""Does it, and says to whom; an empty answer says that there was nothing to hit."""


async def kill_pod(targets: Targets, rng: random.Random) -> str:
    """SIGKILL to the processes of a container, as for want of memory."""
    pod = _drawn(targets.kubelet.running(), rng)
    if pod is None or pod.container is None:
        return ""
    pod.container.kill(KILLED)
    return pod.name


async def kill_worker(targets: Targets, rng: random.Random) -> str:
    """SIGKILL to the worker process of a server that lives on."""
    pod = _drawn(targets.kubelet.running(), rng)
    if pod is None or pod.container is None or not pod.container.kill_worker():
        return ""
    return pod.name


async def delete_pod(targets: Targets, rng: random.Random) -> str:
    """A pod is deleted with its grace period, as by an eviction."""
    pod = _drawn(targets.kubelet.running(), rng)
    return await _delete(targets, _pod_path(pod), {}) if pod else ""


async def delete_pod_by_force(targets: Targets, rng: random.Random) -> str:
    """A pod is deleted without grace."""
    pod = _drawn(targets.kubelet.running(), rng)
    return await _delete(targets, _pod_path(pod), {"gracePeriodSeconds": 0}) if pod else ""


async def delete_child(targets: Targets, rng: random.Random) -> str:
    """Something that the operator made is deleted."""
    path, _ = _drawn_child(await targets.world.children(rng.choice(MODELS)), rng)
    return await _delete(targets, path, {}) if path else ""


async def delete_slice(targets: Targets, rng: random.Random) -> str:
    """An EndpointSlice, of a model's pods or of the gateway, is deleted."""
    path = f"/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices"
    found = sorted(item["metadata"]["name"] for item in await targets.world.api.items(path))
    number = rng.random()
    return await _delete(targets, f"{path}/{found[int(number * len(found))]}", {}) if found else ""


async def edit_child(targets: Targets, rng: random.Random) -> str:
    """Something that the operator made is changed by hand."""
    path, body = _drawn_child(await targets.world.children(rng.choice(MODELS)), rng)
    choice = rng.random()
    if not path:
        return ""
    change = _edit_of(path, body, choice)
    return f"{await _patch(targets, path, change)} {_words(change)}"


async def scale_by_hand(targets: Targets, rng: random.Random) -> str:
    """A person sets the replicas of a Deployment, to 0 or too many."""
    model, replicas, number = rng.choice(MODELS), rng.choice((0, 0, 3)), rng.random()
    found = await targets.world.deployments(model)
    if not found:
        return ""
    name = sorted(item["metadata"]["name"] for item in found)[int(number * len(found))]
    path = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{name}"
    return f"{await _patch(targets, path, {'spec': {'replicas': replicas}})} to {replicas}"


async def change_spec(targets: Targets, rng: random.Random) -> str:
    """A person wants another revision."""
    strategy = rng.choice(("surge", "surge", "canary", "swap"))
    depth = rng.randrange(4096, 8192)
    await targets.world.change(STEADY, "rollout", strategy=strategy)
    await targets.world.change(STEADY, "concurrency", maxQueueDepth=depth)
    return f"{STEADY}: maxQueueDepth {depth} by {strategy}"


async def change_scaling(targets: Targets, rng: random.Random) -> str:
    """A person wants other bounds; that makes no new revision."""
    bounds = {"maxReplicas": rng.choice((1, 2, 3)), "target": rng.choice((1, 2, 4))}
    await targets.world.change(STEADY, "scaling", **bounds)
    return f"{STEADY}: {_words(bounds)}"


async def kill_operator(targets: Targets, rng: random.Random) -> str:
    """SIGKILL; away for up to 15 s."""
    down = rng.uniform(0.5, 15)
    await targets.operator.kill(down)
    return f"away for {down:.1f} s"


async def terminate_operator(targets: Targets, rng: random.Random) -> str:
    """SIGTERM, as in an upgrade."""
    down = rng.uniform(0.5, 5)
    await targets.operator.terminate(down)
    return f"away for {down:.1f} s"


async def freeze_operator(targets: Targets, rng: random.Random) -> str:
    """It hangs and goes on with an old view."""
    seconds = rng.uniform(2, 10)
    await targets.operator.freeze(seconds)
    return f"for {seconds:.1f} s"


async def kill_activator(targets: Targets, rng: random.Random) -> str:
    """SIGKILL; away for up to 4 s."""
    down = rng.uniform(0.2, 4)
    gateway = rng.choice(targets.gateways)
    await gateway.activator.kill(down)
    return f"{gateway.name}, away for {down:.1f} s"


async def kill_envoy(targets: Targets, rng: random.Random) -> str:
    """SIGKILL: all connections break."""
    down = rng.uniform(0.2, 2)
    gateway = rng.choice(targets.gateways)
    await gateway.envoy.kill(down)
    return f"{gateway.name}, away for {down:.1f} s"


async def restart_api_server(targets: Targets, rng: random.Random) -> str:
    """kube-apiserver and the controllers are killed and come back."""
    down = rng.uniform(0.0, 10)
    if not targets.api_server_is_up:
        return ""
    targets.api_server_is_up = False
    await asyncio.to_thread(targets.world.plane.kill_api_server)
    await asyncio.sleep(down)
    await asyncio.to_thread(targets.world.plane.start_api_server)
    targets.api_server_is_up = True
    return f"away for {down:.1f} s and its start"


FAULTS: Final[tuple[tuple[Fault, int], ...]] = (
    (kill_pod, 6),
    (kill_worker, 4),
    (delete_pod, 5),
    (delete_pod_by_force, 2),
    (delete_child, 5),
    (delete_slice, 3),
    (edit_child, 5),
    (scale_by_hand, 3),
    (change_spec, 5),
    (change_scaling, 2),
    (kill_operator, 4),
    (terminate_operator, 2),
    (freeze_operator, 2),
    (kill_activator, 4),
    (kill_envoy, 2),
    (restart_api_server, 3),
)


def name_of(fault: Fault) -> str:
    """As it is printed."""
    return getattr(fault, "__name__", "fault").replace("_", "-")


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """One fault to come: when, which, and the seed of its own choices."""

    at_seconds: float
    fault: Fault
    seed: int

    @property
    def name(self) -> str:
        """As it is printed."""
        return name_of(self.fault)


def schedule(
    seed: int, *, until_seconds: float, mean_gap_seconds: float, without: frozenset[str] = frozenset()
) -> list[Drawn]:
    """All faults of a run, in time, but those named in `without`. Every kind comes once before chance alone decides, where there is time for it."""
    rng = random.Random(seed)
    wanted = [(fault, weight) for fault, weight in FAULTS if name_of(fault) not in without]
    faults = [fault for fault, _ in wanted]
    weights = [weight for _, weight in wanted]
    first = list(faults)
    rng.shuffle(first)
    drawn: list[Drawn] = []
    at = rng.uniform(1, 3)
    while at < until_seconds:
        fault = first.pop() if first else rng.choices(faults, weights)[0]
        drawn.append(Drawn(at_seconds=at, fault=fault, seed=rng.randrange(2**32)))
        at += min(20.0, 1.0 + rng.expovariate(1 / max(0.1, mean_gap_seconds - 1.0)))
    return drawn


def _drawn(pods: list[PlayedPod], rng: random.Random) -> PlayedPod | None:
    number = rng.random()
    return pods[int(number * len(pods))] if pods else None


def _drawn_child(
    children: list[tuple[str, dict[str, Any]]], rng: random.Random
) -> tuple[str, dict[str, Any]]:
    number = rng.random()
    return children[int(number * len(children))] if children else ("", {})


def _pod_path(pod: PlayedPod) -> str:
    return f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}"


def _edit_of(path: str, body: dict[str, Any], choice: float) -> dict[str, Any]:
    """A merge patch that a careless person may send."""
    if "/deployments/" in path:
        if choice < 0.5:
            return {"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 50 + int(choice * 100)}}}}
        return {"metadata": {"labels": {names.LABEL_MANAGED_BY: "somebody"}}}
    if "/services/" in path and body["spec"].get("selector") and choice < 0.7:
        return {"spec": {"selector": {"edited": "by-hand"}}}
    if "/configmaps/" in path and choice < 0.7:
        return {"data": {names.CONFIG_FILE: "{}"}}
    return {"metadata": {"labels": {names.LABEL_PART_OF: "somebody"}}}


async def _delete(targets: Targets, path: str, options: dict[str, Any]) -> str:
    try:
        await targets.world.api.call("DELETE", path, options or None)
    except ApiError as error:
        if error.status != NOT_FOUND:
            raise
        return ""
    return _short(path)


async def _patch(targets: Targets, path: str, change: dict[str, Any]) -> str:
    try:
        await targets.world.api.call("PATCH", path, change, content_type=MERGE)
    except ApiError as error:
        if error.status != NOT_FOUND:
            raise
        return ""
    return _short(path)


def _short(path: str) -> str:
    return "/".join(path.split("/")[-2:])


def _words(value: Any) -> str:
    return str(value).replace("'", "")
