"""NetworkPolicies become the rules that let through what they name, and nothing else."""

from __future__ import annotations

from typing import Any

from atheria_local.policy_rules import rules

NAMESPACES = [{"metadata": {"name": name, "labels": {"name": name}}} for name in ("system", "demo", "else")]


def pod(name: str, namespace: str, address: str, **more: Any) -> dict[str, Any]:
    ports = [{"name": "http", "containerPort": 8000}, {"name": "grpc", "containerPort": 8001}]
    return {
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": name}},
        "spec": {"containers": [{"ports": ports}], **more.get("spec", {})},
        "status": {"podIP": address, **more.get("status", {})},
    }


MODEL = pod("model", "demo", "10.0.0.1")
GATEWAY = pod("gateway", "system", "10.0.0.2")
OTHER = pod("other", "else", "10.0.0.3")
PODS = [MODEL, GATEWAY, OTHER]


def policy(spec: dict[str, Any], namespace: str = "demo") -> dict[str, Any]:
    return {"metadata": {"name": "it", "namespace": namespace}, "spec": spec}


def made(*specs: dict[str, Any], pods: list[dict[str, Any]] | None = None) -> list[str]:
    """The rules of pods, without those that are always there."""
    text = rules(PODS if pods is None else pods, NAMESPACES, [policy(spec) for spec in specs])
    lines = text.splitlines()
    assert lines[0] == "*filter"
    assert lines[-1] == "COMMIT"
    return [line for line in lines if line.startswith(("-A ATHERIA-INGRESS", "-A ATHERIA-EGRESS"))]


def test_without_policies_no_pod_has_a_rule_and_lasting_connections_come_first() -> None:
    assert made() == []
    lines = rules(PODS, NAMESPACES, []).splitlines()
    assert lines[4] == "-A ATHERIA-POLICY -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN"


def test_a_policy_without_rules_refuses_all_that_comes_in() -> None:
    assert made({"podSelector": {}, "policyTypes": ["Ingress"]}) == [
        "-A ATHERIA-INGRESS -d 10.0.0.1 -j REJECT"
    ]


def test_only_pods_of_the_named_namespace_and_labels_come_in_at_the_named_ports() -> None:
    peer = {
        "namespaceSelector": {"matchLabels": {"name": "system"}},
        "podSelector": {"matchLabels": {"app": "gateway"}},
    }
    spec = {
        "podSelector": {"matchLabels": {"app": "model"}},
        "ingress": [{"from": [peer], "ports": [{"port": "http"}, {"port": 9000, "endPort": 9010}]}],
    }
    assert made(spec) == [
        "-A ATHERIA-INGRESS -s 10.0.0.2 -d 10.0.0.1 -p tcp --dport 8000 -j RETURN",
        "-A ATHERIA-INGRESS -s 10.0.0.2 -d 10.0.0.1 -p tcp --dport 9000:9010 -j RETURN",
        "-A ATHERIA-INGRESS -d 10.0.0.1 -j REJECT",
    ]


def test_a_pod_selector_alone_means_the_policys_own_namespace() -> None:
    spec = {"podSelector": {}, "ingress": [{"from": [{"podSelector": {}}]}]}
    assert made(spec) == [
        "-A ATHERIA-INGRESS -s 10.0.0.1 -d 10.0.0.1 -j RETURN",
        "-A ATHERIA-INGRESS -d 10.0.0.1 -j REJECT",
    ]


def test_a_rule_without_peers_lets_everybody_in_at_its_ports() -> None:
    found = made({"podSelector": {}, "ingress": [{"ports": [{"port": "grpc"}]}]})
    assert "-A ATHERIA-INGRESS -s 0.0.0.0/0 -d 10.0.0.1 -p tcp --dport 8001 -j RETURN" in found
    assert found[-1] == "-A ATHERIA-INGRESS -d 10.0.0.1 -j REJECT"


def test_egress_names_ports_of_the_receiver_and_leaves_what_comes_in_alone() -> None:
    peer = {"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "gateway"}}}
    spec = {
        "podSelector": {},
        "policyTypes": ["Egress"],
        "egress": [
            {"to": [peer], "ports": [{"port": "grpc"}]},
            {"ports": [{"protocol": "UDP", "port": 53}]},
        ],
    }
    found = made(spec)
    assert found[0] == "-A ATHERIA-EGRESS -s 10.0.0.1 -d 10.0.0.2 -p tcp --dport 8001 -j RETURN"
    assert "-A ATHERIA-EGRESS -s 10.0.0.1 -d 0.0.0.0/0 -p udp --dport 53 -j RETURN" in found
    assert found[-1] == "-A ATHERIA-EGRESS -s 10.0.0.1 -j REJECT"
    assert not [line for line in found if "INGRESS" in line]


def test_an_address_range_is_taken_without_its_exceptions() -> None:
    block = {"cidr": "192.168.0.0/23", "except": ["192.168.1.0/24"]}
    found = made({"podSelector": {}, "ingress": [{"from": [{"ipBlock": block}]}]})
    assert found[0] == "-A ATHERIA-INGRESS -s 192.168.0.0/24 -d 10.0.0.1 -j RETURN"
    assert len(found) == 2


def test_the_rules_of_two_policies_add_up() -> None:
    nobody = {"podSelector": {}, "policyTypes": ["Ingress"]}
    somebody = {"podSelector": {}, "ingress": [{"from": [{"namespaceSelector": {}}]}]}
    found = made(nobody, somebody)
    assert found.count("-A ATHERIA-INGRESS -d 10.0.0.1 -j REJECT") == 1
    assert "-A ATHERIA-INGRESS -s 10.0.0.3 -d 10.0.0.1 -j RETURN" in found


def test_pods_of_the_hosts_network_without_address_or_at_their_end_have_no_rule() -> None:
    pods = [
        pod("host", "demo", "10.98.0.2", spec={"hostNetwork": True}),
        pod("waits", "demo", ""),
        pod("done", "demo", "10.0.0.9", status={"phase": "Succeeded"}),
    ]
    assert made({"podSelector": {}, "policyTypes": ["Ingress"]}, pods=pods) == []
