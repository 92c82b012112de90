"""NetworkPolicies as rules of iptables. Pure; called by `policies`.

Three chains: what belongs to a connection that was let in goes on, then where the sender may go is asked, then whom the receiver
takes. A pod that no policy selects has no rule. Written for one small node: a rule for each peer and port, without sets.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from atheria_local.label_selector import selects

CHAIN: Final = "ATHERIA-POLICY"
"""Which the caller has packets go through."""
_EGRESS: Final = "ATHERIA-EGRESS"
_INGRESS: Final = "ATHERIA-INGRESS"
_ANYWHERE: Final = "0.0.0.0/0"
Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """What policies ask of a pod."""

    namespace: str
    address: str
    labels: Mapping[str, str]
    ports: Mapping[tuple[str, str], int]
    """Number by (protocol, name)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Peer:
    network: str
    pod: Pod | None


def rules(pods: Iterable[Object], namespaces: Iterable[Object], policies: Iterable[Object]) -> str:
    """Input of `iptables-restore --noflush` for objects of the API server. ValueError for a policy that is not understood."""
    known = [pod for item in pods if (pod := _pod(item)) is not None]
    labels = {item["metadata"]["name"]: item["metadata"].get("labels", {}) for item in namespaces}
    lines = ["*filter", *(f":{chain} - [0:0]" for chain in (CHAIN, _EGRESS, _INGRESS))]
    lines.append(f"-A {CHAIN} -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN")
    lines += [f"-A {CHAIN} -j {chain}" for chain in (_EGRESS, _INGRESS)]
    listed = list(policies)
    for pod in known:
        mine = [policy for policy in listed if _is_about(policy, pod)]
        for direction, chain, own in (("Egress", _EGRESS, "-s"), ("Ingress", _INGRESS, "-d")):
            isolating = [policy["spec"] for policy in mine if direction in _types(policy["spec"])]
            if isolating:
                lines += _allowed(direction, pod, isolating, known, labels)
                lines.append(f"-A {chain} {own} {pod.address} -j REJECT")
    return "\n".join([*lines, "COMMIT", ""])


def _pod(item: Object) -> Pod | None:
    """None for one without an address of its own."""
    spec, status = item["spec"], item.get("status", {})
    ended = status.get("phase") in ("Succeeded", "Failed")
    if ended or spec.get("hostNetwork") or not status.get("podIP"):
        return None
    return Pod(
        namespace=item["metadata"]["namespace"],
        address=status["podIP"],
        labels=item["metadata"].get("labels", {}),
        ports={
            (port.get("protocol", "TCP"), port["name"]): port["containerPort"]
            for container in [*spec.get("initContainers", ()), *spec["containers"]]
            for port in container.get("ports", ())
            if port.get("name")
        },
    )


def _is_about(policy: Object, pod: Pod) -> bool:
    return bool(policy["metadata"]["namespace"] == pod.namespace) and selects(
        policy["spec"].get("podSelector") or {}, pod.labels
    )


def _types(spec: Object) -> Sequence[str]:
    default = ["Ingress", "Egress"] if "egress" in spec else ["Ingress"]
    return spec.get("policyTypes") or default


def _allowed(
    direction: str, pod: Pod, specs: Iterable[Object], pods: Sequence[Pod], labels: Mapping[str, Any]
) -> Iterator[str]:
    """The rules of one pod that let packets go on, each once."""
    inward = direction == "Ingress"
    written: set[str] = set()
    for spec in specs:
        for rule in spec.get(direction.lower()) or ():
            listed = rule.get("from" if inward else "to")
            for peer in _peers(listed, pod.namespace, pods, labels):
                receiver = pod if inward else peer.pod
                source, target = (peer.network, pod.address) if inward else (pod.address, peer.network)
                for port in _ports(rule.get("ports"), receiver):
                    line = f"-A {_INGRESS if inward else _EGRESS} -s {source} -d {target}{port} -j RETURN"
                    if line not in written:
                        written.add(line)
                        yield line


def _peers(
    listed: Sequence[Object] | None, namespace: str, pods: Sequence[Pod], labels: Mapping[str, Any]
) -> Iterator[_Peer]:
    if not listed:
        # A named port of a pod is another number on each, so pods come by themselves before all others.
        yield from (_Peer(network=pod.address, pod=pod) for pod in pods)
        yield _Peer(network=_ANYWHERE, pod=None)
        return
    for peer in listed:
        if "ipBlock" in peer:
            yield from (_Peer(network=part, pod=None) for part in _networks(peer["ipBlock"]))
            continue
        for pod in pods:
            here = (
                selects(peer["namespaceSelector"], labels.get(pod.namespace, {}))
                if peer.get("namespaceSelector") is not None
                else pod.namespace == namespace
            )
            if here and selects(peer.get("podSelector") or {}, pod.labels):
                yield _Peer(network=pod.address, pod=pod)


def _networks(block: Object) -> list[str]:
    """An address range without its exceptions."""
    parts = [ipaddress.IPv4Network(block["cidr"], strict=False)]
    for text in block.get("except") or ():
        hole = ipaddress.IPv4Network(text, strict=False)
        parts = [rest for part in parts for rest in _without(part, hole)]
    return [str(part) for part in parts]


def _without(network: ipaddress.IPv4Network, hole: ipaddress.IPv4Network) -> Iterable[ipaddress.IPv4Network]:
    if not network.overlaps(hole):
        return [network]
    return network.address_exclude(hole) if hole != network and hole.subnet_of(network) else []


def _ports(listed: Sequence[Object] | None, receiver: Pod | None) -> Iterator[str]:
    """Matches of a rule's ports; an empty one for all. A name that the receiver does not have is none."""
    if not listed:
        yield ""
        return
    for port in listed:
        protocol = port.get("protocol", "TCP")
        match = f" -p {protocol.lower()}"
        wanted = port.get("port")
        if wanted is None:
            yield match
        elif isinstance(wanted, int):
            last = port.get("endPort")
            yield f"{match} --dport {wanted}" + (f":{last}" if last else "")
        elif receiver is not None and (protocol, wanted) in receiver.ports:
            yield f"{match} --dport {receiver.ports[protocol, wanted]}"
