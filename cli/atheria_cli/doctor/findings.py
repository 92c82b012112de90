"""From what was read of a cluster to findings, each with its remedy. PURE; used by `doctor`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Any, Final

from atheria_contract import names

Body = Mapping[str, Any]
KUBERNETES_OLDEST: Final = (1, 30)
PRICE_OLD_DAYS: Final = 180


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    """Models can run; something will surprise."""
    PROBLEM = "problem"
    """Models cannot run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    level: Level
    what: str
    remedy: str = ""
    """What to do; empty where nothing is to be done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What was read. None = it could not be read; `errors` says why."""

    client_version: str
    """Of this command."""
    server_version: str | None = None
    """Of Kubernetes, e.g. v1.35.4."""
    definitions: Sequence[str] | None = None
    """Names of the CRDs of Atheria that are installed."""
    deployments: Sequence[Body] | None = None
    """Of the chart, in all namespaces."""
    profiles: Sequence[Body] | None = None
    nodes: Sequence[Body] | None = None
    models: Sequence[Body] | None = None
    errors: Mapping[str, str] = field(default_factory=dict)
    """By name of the field above."""


def findings(facts: Facts, today: date) -> tuple[Finding, ...]:
    """In the order in which they matter: a cluster that does not answer leaves the rest unsaid."""
    if facts.server_version is None:
        return (
            Finding(
                level=Level.PROBLEM,
                what=f"no cluster answers: {facts.errors.get('server_version', 'no reason given')}",
                remedy="name one with --context, or bring a local one up: make demo",
            ),
        )
    return (
        _kubernetes(facts.server_version),
        *_definitions(facts),
        *_components(facts),
        *_pools(facts, today),
        *_models(facts),
    )


def is_ready(found: Sequence[Finding]) -> bool:
    """Whether no finding is a problem."""
    return all(one.level is not Level.PROBLEM for one in found)


def _kubernetes(version: str) -> Finding:
    digits = version.removeprefix("v").split(".")[:2]
    known = tuple(int("".join(c for c in part if c.isdigit()) or 0) for part in digits)
    oldest = ".".join(str(part) for part in KUBERNETES_OLDEST)
    if known < KUBERNETES_OLDEST:
        return Finding(
            level=Level.PROBLEM,
            what=f"Kubernetes {version} is older than {oldest}",
            remedy=f"upgrade the cluster to {oldest} or newer",
        )
    return Finding(level=Level.OK, what=f"Kubernetes {version} answers")


def _definitions(facts: Facts) -> Iterator[Finding]:
    if facts.definitions is None:
        yield _unread("CustomResourceDefinitions", facts, "definitions")
        return
    wanted = [f"{plural}.{names.GROUP}" for plural in (names.MODEL_PLURAL, names.PROFILE_PLURAL)]
    if missing := [name for name in wanted if name not in facts.definitions]:
        yield Finding(
            level=Level.PROBLEM,
            what=f"{' and '.join(missing)} not installed",
            remedy="helm upgrade --install atheria charts/atheria -n atheria-system --create-namespace",
        )
    else:
        yield Finding(level=Level.OK, what="AtheriaModel and AtheriaHardwareProfile are installed")


def _components(facts: Facts) -> Iterator[Finding]:
    if facts.deployments is None:
        yield _unread("the operator's and the gateway's Deployments", facts, "deployments")
        return
    for component in ("operator", "gateway"):
        found = [one for one in facts.deployments if _label(one, names.LABEL_COMPONENT) == component]
        if not found:
            yield Finding(
                level=Level.PROBLEM,
                what=f"no {component} is installed",
                remedy="helm upgrade --install atheria charts/atheria -n atheria-system --create-namespace",
            )
        for one in found:
            yield _component(component, one, facts.client_version)


def _component(component: str, deployment: Body, client_version: str) -> Finding:
    metadata, status = deployment["metadata"], deployment.get("status") or {}
    where = f"{component} {metadata['namespace']}/{metadata['name']}"
    asked = int((deployment.get("spec") or {}).get("replicas", 1))
    ready = int(status.get("readyReplicas") or 0)
    version = _label(deployment, "app.kubernetes.io/version")
    if not ready:
        return Finding(
            level=Level.PROBLEM,
            what=f"{where}: 0 of {asked} pods are ready",
            remedy=f"atheria logs --component {component} -n {metadata['namespace']}; kubectl -n {metadata['namespace']} describe pods",
        )
    if ready < asked:
        return Finding(
            level=Level.WARNING,
            what=f"{where}: {ready} of {asked} pods are ready",
            remedy=f"kubectl -n {metadata['namespace']} get pods",
        )
    if version and version != client_version:
        return Finding(
            level=Level.WARNING,
            what=f"{where} is version {version}, this command {client_version}",
            remedy="install the same version of both",
        )
    return Finding(
        level=Level.OK, what=f"{where}: {ready} of {asked} pods are ready, version {version or 'unknown'}"
    )


def _pools(facts: Facts, today: date) -> Iterator[Finding]:
    if facts.profiles is None or facts.nodes is None:
        yield _unread("hardware profiles and nodes", facts, "profiles" if facts.profiles is None else "nodes")
        return
    if not facts.profiles:
        yield Finding(
            level=Level.PROBLEM,
            what="no AtheriaHardwareProfile is there",
            remedy="helm value hardwareProfiles.enabled=true installs the shipped ones",
        )
    if not facts.nodes:
        yield Finding(
            level=Level.PROBLEM,
            what="the cluster has no node",
            remedy="add one; a pool that scales from zero needs one for the operator and the gateway",
        )
    used = {profile_of(model) for model in facts.models or ()}
    for profile in facts.profiles:
        is_used = profile["metadata"]["name"] in used
        yield _pool(profile, facts.nodes, is_used=is_used)
        # What nobody runs on costs nobody anything.
        if is_used and (problem := _price(profile, today)) is not None:
            yield problem


def profile_of(model: Body) -> str:
    """The profile that a model runs on, or names."""
    chosen = ((model.get("status") or {}).get("hardware") or {}).get("profile")
    return str(chosen or ((model.get("spec") or {}).get("hardware") or {}).get("profile") or "cpu")


def _pool(profile: Body, nodes: Sequence[Body], *, is_used: bool) -> Finding:
    name, spec = profile["metadata"]["name"], profile.get("spec") or {}
    fitting = [node for node in nodes if _fits(node, spec.get("nodeAlternatives") or ())]
    resource = spec.get("resourceName") or ""
    if resource:
        devices = sum(_allocatable(node, resource) for node in fitting)
        if devices:
            return Finding(
                level=Level.OK, what=f"profile {name}: {devices} x {resource} on {len(fitting)} nodes"
            )
        seen = (
            f"{len(fitting)} nodes have its labels, none has {resource}"
            if fitting
            else "no node has its labels"
        )
        remedy = (
            f"install the device plugin that offers {resource}"
            if fitting
            else "add such a pool (one that scales from zero shows no node until a pod asks), or correct spec.nodeAlternatives"
        )
        return _absent(name, seen, remedy, is_used=is_used)
    if fitting:
        return Finding(level=Level.OK, what=f"profile {name}: {len(fitting)} nodes")
    return _absent(name, "no node has its labels", "correct spec.nodeAlternatives", is_used=is_used)


def _absent(name: str, seen: str, remedy: str, *, is_used: bool) -> Finding:
    if is_used:
        return Finding(level=Level.WARNING, what=f"profile {name}: {seen}", remedy=remedy)
    return Finding(level=Level.OK, what=f"profile {name}: {seen}, and no model asks for it")


def _fits(node: Body, alternatives: Sequence[Body]) -> bool:
    labels = node["metadata"].get("labels") or {}
    return not alternatives or any(
        all(labels.get(key) in values for key, values in one["labels"].items()) for one in alternatives
    )


def _allocatable(node: Body, resource: str) -> int:
    return int(((node.get("status") or {}).get("allocatable") or {}).get(resource) or 0)


def _price(profile: Body, today: date) -> Finding | None:
    name, price = profile["metadata"]["name"], (profile.get("spec") or {}).get("price")
    remedy = f"helm value hardwareProfiles.overrides.{name}.price, or kubectl edit it: put in what you pay"
    if not price:
        return Finding(
            level=Level.WARNING, what=f"profile {name} has no price: costs are unknown", remedy=remedy
        )
    read = _month(str(price.get("date") or ""))
    if read is not None and (today - read).days > PRICE_OLD_DAYS:
        return Finding(
            level=Level.WARNING,
            what=f"profile {name}: its price of {price['usdPerHour']} USD/h is from {price['date']} ({price.get('source') or 'no source'})",
            remedy=remedy,
        )
    return None


def _month(text: str) -> date | None:
    parts = text.split("-")
    if len(parts) < 2 or not all(part.isdigit() for part in parts[:2]) or not 1 <= int(parts[1]) <= 12:
        return None
    return date(int(parts[0]), int(parts[1]), 1)


def _models(facts: Facts) -> Iterator[Finding]:
    if facts.models is None:
        yield _unread("AtheriaModels", facts, "models")
        return
    for model in facts.models:
        fault = (model.get("status") or {}).get("fault")
        if fault:
            metadata = model["metadata"]
            yield Finding(
                level=Level.WARNING,
                what=f"model {metadata['namespace']}/{metadata['name']} is not ready: {fault.get('reason', '')}",
                remedy=fault.get("nextStep", "")
                or f"atheria get {metadata['name']} -n {metadata['namespace']}",
            )
    count = len(facts.models)
    yield Finding(level=Level.OK, what="1 model" if count == 1 else f"{count} models")


def _unread(what: str, facts: Facts, name: str) -> Finding:
    return Finding(
        level=Level.WARNING,
        what=f"{what} could not be read: {facts.errors.get(name, 'no reason given')}",
        remedy="ask for the right to list them, or let somebody run this who has it",
    )


def _label(body: Body, name: str) -> str:
    return str((body["metadata"].get("labels") or {}).get(name) or "")
