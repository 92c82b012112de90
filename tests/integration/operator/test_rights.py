"""The operator may do what it does and nothing else: the chart's rendered roles, asked of the real API server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from operator_harness import LEASE_RULES, SYSTEM_NAMESPACE

from tests.contract.chart import one, render

NAME = "atheria-operator"
USER = f"system:serviceaccount:{SYSTEM_NAMESPACE}:{NAME}"
MAY = [
    ("get", "atheriamodels.atheria.dev"),
    ("watch", "atheriamodels.atheria.dev"),
    ("patch", "atheriamodels.atheria.dev/status"),
    ("patch", "atheriamodels.atheria.dev/scale"),
    ("list", "atheriahardwareprofiles.atheria.dev"),
    ("create", "deployments.apps"),
    ("patch", "deployments.apps"),
    ("delete", "deployments.apps"),
    ("patch", "deployments.apps/scale"),
    ("create", "services"),
    ("delete", "configmaps"),
    ("create", "serviceaccounts"),
    ("list", "pods"),
    ("watch", "pods"),
    ("list", "events"),
    ("create", "events"),
]
MAY_NOT = [
    ("get", "secrets"),
    ("list", "secrets"),
    ("create", "pods"),
    ("delete", "pods"),
    ("create", "pods/exec"),
    ("get", "nodes"),
    ("create", "atheriamodels.atheria.dev"),
    ("delete", "atheriamodels.atheria.dev"),
    ("update", "atheriamodels.atheria.dev"),
    ("delete", "namespaces"),
    ("delete", "customresourcedefinitions.apiextensions.k8s.io"),
    ("patch", "customresourcedefinitions.apiextensions.k8s.io"),
    ("create", "rolebindings.rbac.authorization.k8s.io"),
    ("bind", "clusterroles.rbac.authorization.k8s.io"),
    ("escalate", "clusterroles.rbac.authorization.k8s.io"),
    ("impersonate", "users"),
    ("create", "serviceaccounts/token"),
    ("delete", "persistentvolumeclaims"),
    ("create", "validatingwebhookconfigurations.admissionregistration.k8s.io"),
    ("*", "*"),
]


@pytest.fixture(scope="module")
def roles(cluster: Any) -> Iterator[Any]:
    """The chart's account, roles and bindings of the operator, as Helm renders them."""
    kinds = ("ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")
    objects = [item for item in render() if item["kind"] in kinds and item["metadata"]["name"] == NAME]
    cluster.apply(*objects)
    yield cluster
    cluster.kubectl(
        "delete", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    )


def can_i(cluster: Any, verb: str, what: str, namespace: str = "default") -> bool:
    """The API server's own answer for the operator's account."""
    resource, _, subresource = what.partition("/")
    plural, _, group = resource.partition(".")
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": USER,
            "groups": ["system:serviceaccounts", f"system:serviceaccounts:{SYSTEM_NAMESPACE}"],
            "resourceAttributes": {
                "verb": verb,
                "group": group,
                "resource": plural,
                "subresource": subresource,
                "namespace": namespace,
            },
        },
    }
    answer = cluster.kubectl("create", "-f", "-", "-o", "json", stdin=json.dumps(review))
    return bool(json.loads(answer)["status"]["allowed"])


def test_what_the_operator_does_it_may_do(roles: Any) -> None:
    assert [what for what in MAY if not can_i(roles, *what)] == []


def test_what_it_need_not_do_it_may_not_do(roles: Any) -> None:
    assert [what for what in MAY_NOT if can_i(roles, *what)] == []


def test_its_lease_is_in_its_own_namespace_and_no_other_lease_is_its_own(roles: Any) -> None:
    assert one(render(), "Role", NAME)["rules"] == LEASE_RULES
    assert can_i(roles, "create", "leases.coordination.k8s.io", SYSTEM_NAMESPACE)
    assert not can_i(roles, "create", "leases.coordination.k8s.io", "kube-system")
    assert not can_i(roles, "update", "leases.coordination.k8s.io", SYSTEM_NAMESPACE)


def test_no_right_is_a_wildcard() -> None:
    for item in render():
        if item["kind"] in ("ClusterRole", "Role") and item["metadata"]["name"] == NAME:
            for rule in item["rules"]:
                assert "*" not in rule["verbs"] + rule["resources"] + rule["apiGroups"]
