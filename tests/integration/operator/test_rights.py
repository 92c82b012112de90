"""Operator, gateway and uninstall hook may do what they do and nothing else: the rendered chart, asked of the real API server.

Both modes of the chart: all of the cluster, and named namespaces. What each may do is the table of tests/contract/rights.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from atheria_local.definitions import delete_definitions, wait_established
from bench.installation import rendered_rights
from tests.contract.rights import ACCOUNTS, Scope
from tests.integration.operator.harness import LEASE_RULES, SYSTEM_NAMESPACE

TEAM, ELSEWHERE = "team-a", "somebody-elses"
NAMED = "named namespaces"
_AT_A_TIME = 4
KINDS = ("ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")
MAY_NOT = {
    "secrets": "get list watch create patch delete",
    "pods": "get create delete",
    "pods/exec": "create get",
    "pods/attach": "create",
    "pods/portforward": "create",
    "pods/ephemeralcontainers": "patch",
    "pods/log": "get",
    "pods/eviction": "create",
    "nodes": "get list patch",
    "nodes/proxy": "get create",
    "namespaces": "create patch delete",
    "serviceaccounts/token": "create",
    "persistentvolumeclaims": "get delete",
    "replicasets.apps": "create delete",
    "daemonsets.apps": "create",
    "jobs.batch": "create",
    "customresourcedefinitions.apiextensions.k8s.io": "create patch delete",
    "atheriamodels.atheria.dev": "create update",
    "atheriahardwareprofiles.atheria.dev": "delete",
    "roles.rbac.authorization.k8s.io": "create patch bind escalate",
    "rolebindings.rbac.authorization.k8s.io": "create patch",
    "clusterroles.rbac.authorization.k8s.io": "create patch bind escalate",
    "clusterrolebindings.rbac.authorization.k8s.io": "create",
    "users": "impersonate",
    "groups": "impersonate",
    "serviceaccounts": "impersonate",
    "certificatesigningrequests.certificates.k8s.io": "create",
    "validatingwebhookconfigurations.admissionregistration.k8s.io": "create patch",
    "mutatingwebhookconfigurations.admissionregistration.k8s.io": "create patch",
    "leases.coordination.k8s.io": "delete list",
    "*.*": "*",
}
"""What none of the accounts may do anywhere."""

KEDA = Path(__file__).with_name("keda") / "scaledobjects.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """May the account do this there?"""

    account: str
    verb: str
    what: str
    namespace: str
    name: str = ""

    @property
    def command(self) -> list[str]:
        """Of kubectl."""
        resource, _, subresource = self.what.partition("/")
        kind = resource.removesuffix(".")
        return [
            *("auth", "can-i", self.verb, f"{kind}/{self.name}" if self.name else kind),
            *([f"--subresource={subresource}"] if subresource else []),
            *("-n", self.namespace),
            f"--as=system:serviceaccount:{SYSTEM_NAMESPACE}:atheria-{self.account}",
        ]


@pytest.fixture(scope="module", params=["all of the cluster", NAMED])
def mode(cluster: Any, request: pytest.FixtureRequest) -> Iterator[str]:
    """The chart's accounts, roles and bindings, as Helm renders them."""
    mode: str = request.param
    values = [f"operator.namespaces={{{TEAM}}}"] if mode == NAMED else []
    found = rendered_rights("operator-rbac", "gateway-rbac", "uninstall", values=values)
    objects = [item for item in found if item["kind"] in KINDS]
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": TEAM}}
    cluster.apply(namespace, *objects)
    # kubectl asks about kinds that it finds only.
    cluster.kubectl("apply", "--server-side", "-f", str(KEDA))
    wait_established(cluster.plane.kubectl)
    yield mode
    delete_definitions(cluster.plane.kubectl, "scaledobjects.keda.sh")
    items = {"apiVersion": "v1", "kind": "List", "items": objects}
    cluster.kubectl("delete", "-f", "-", stdin=json.dumps(items))


def allowed(cluster: Any, questions: Iterable[Question]) -> list[Question]:
    """Those that the API server answers with yes."""

    def ask(question: Question) -> str:
        done = cluster.run(*question.command)
        answer = done.stdout.strip()
        assert answer in ("yes", "no"), f"{question}: {done.stderr}"
        return str(answer)

    asked = list(questions)
    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        return [
            question for question, answer in zip(asked, pool.map(ask, asked), strict=True) if answer == "yes"
        ]


def questions(account: str, *scopes: Scope, namespace: str) -> list[Question]:
    """All that the code of the account needs in these scopes, asked for a namespace."""
    return [
        Question(account=account, verb=verb, what=resource, namespace=namespace, name=right.name)
        for right in ACCOUNTS[account]
        if right.scope in scopes
        for resource in right.resources
        for verb in right.verbs
    ]


@pytest.mark.parametrize("account", ACCOUNTS)
def test_what_the_code_needs_is_allowed(cluster: Any, mode: str, account: str) -> None:
    scopes = [Scope.MODELS, Scope.CLUSTER, *([] if mode == NAMED else [Scope.CLUSTER_IF_ALL])]
    asked = questions(account, *scopes, namespace=TEAM)
    asked += questions(account, Scope.SYSTEM, namespace=SYSTEM_NAMESPACE)
    assert allowed(cluster, asked) == asked


@pytest.mark.parametrize("account", ACCOUNTS)
def test_what_is_nobodys_business_is_refused(cluster: Any, mode: str, account: str) -> None:
    assert mode
    asked = [
        Question(account=account, verb=verb, what=what, namespace=TEAM)
        for what, verbs in MAY_NOT.items()
        for verb in verbs.split()
    ]
    # Where the operator itself runs, too: whoever reads Secrets or runs pods there is more than the operator.
    asked += [
        Question(account=account, verb=verb, what=what, namespace=SYSTEM_NAMESPACE)
        for what, verb in [("secrets", "get"), ("pods", "create"), ("pods/exec", "create")]
    ]
    assert allowed(cluster, asked) == []


@pytest.mark.parametrize("account", ACCOUNTS)
def test_outside_the_named_namespaces_nothing_is_allowed(cluster: Any, mode: str, account: str) -> None:
    asked = questions(account, Scope.MODELS, namespace=ELSEWHERE)
    if mode == NAMED:
        assert allowed(cluster, asked) == []
    else:
        assert allowed(cluster, asked[:1]) == asked[:1]


def test_with_named_namespaces_neither_namespaces_nor_definitions_are_read(cluster: Any, mode: str) -> None:
    asked = questions("operator", Scope.CLUSTER_IF_ALL, namespace=TEAM)
    assert allowed(cluster, asked) == ([] if mode == NAMED else asked)


def test_its_lease_is_in_its_own_namespace_and_no_other_lease_is_its_own(cluster: Any, mode: str) -> None:
    assert mode
    role = next(
        item
        for item in rendered_rights("operator-rbac")
        if item["kind"] == "Role" and item["metadata"]["namespace"] == SYSTEM_NAMESPACE
    )
    assert role["rules"] == LEASE_RULES
    lease = "leases.coordination.k8s.io"
    asked = [
        Question(account="operator", verb="create", what=lease, namespace="kube-system"),
        Question(account="operator", verb="create", what=lease, namespace=TEAM),
        Question(account="operator", verb="update", what=lease, namespace=SYSTEM_NAMESPACE),
        Question(account="operator", verb="update", what=lease, namespace=SYSTEM_NAMESPACE, name="another"),
    ]
    assert allowed(cluster, asked) == []


@pytest.mark.parametrize("account", ["gateway", "uninstall"])
def test_who_wakes_or_uninstalls_may_not_change_what_the_operator_makes(
    cluster: Any, mode: str, account: str
) -> None:
    assert mode
    asked = [
        Question(account=account, verb=verb, what=what, namespace=TEAM)
        for what in ("deployments.apps", "services", "configmaps", "serviceaccounts")
        for verb in ("create", "patch", "delete")
    ]
    assert allowed(cluster, asked) == []
