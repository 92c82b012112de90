"""The chart's roles are exactly the rights that some code needs, in both of its modes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest

from tests.contract.chart import SYSTEM_NAMESPACE, Object, refused, render
from tests.contract.rights import (
    ACCOUNTS,
    OPERATOR_WITH_AUTHORITY,
    OPERATOR_WITH_CERT_MANAGER,
    UNINSTALL_WITH_DEFINITIONS,
    Right,
    Scope,
)

NAMESPACES = ("team-a", "team-b")
NAMED = ("--set", f"operator.namespaces={{{','.join(NAMESPACES)}}}")
EVERYWHERE = "*"
Grant = tuple[str, str, str, str]
"""Namespace (or EVERYWHERE), resource, verb, name of the one object or empty."""
modes = pytest.mark.parametrize("arguments", [(), NAMED], ids=["cluster-wide", "namespaced"])
accounts = pytest.mark.parametrize("account", ACCOUNTS)


def granted(objects: Sequence[Object], account: str) -> list[Grant]:
    """What the account is bound to."""
    roles = {
        (item["kind"], item["metadata"].get("namespace", ""), item["metadata"]["name"]): item["rules"]
        for item in objects
        if item["kind"] in ("Role", "ClusterRole")
    }
    subject = {"kind": "ServiceAccount", "name": f"atheria-{account}", "namespace": SYSTEM_NAMESPACE}
    found: list[Grant] = []
    for item in objects:
        if item["kind"] not in ("RoleBinding", "ClusterRoleBinding") or item["subjects"] != [subject]:
            continue
        namespace = item["metadata"].get("namespace", "")
        reference = item["roleRef"]
        where = namespace if item["kind"] == "RoleBinding" else EVERYWHERE
        of = namespace if reference["kind"] == "Role" else ""
        for rule in roles[reference["kind"], of, reference["name"]]:
            for group in rule["apiGroups"]:
                for resource in rule["resources"]:
                    plural, slash, subresource = resource.partition("/")
                    found += [
                        (where, f"{plural}.{group}{slash}{subresource}", verb, name)
                        for verb in rule["verbs"]
                        for name in rule.get("resourceNames", [""])
                    ]
    return found


def needed(rights: Iterable[Right], namespaces: Sequence[str]) -> list[Grant]:
    """The same, from the code that needs it."""
    where = {
        Scope.MODELS: namespaces or [EVERYWHERE],
        Scope.CLUSTER: [EVERYWHERE],
        Scope.CLUSTER_IF_ALL: [] if namespaces else [EVERYWHERE],
        Scope.SYSTEM: [SYSTEM_NAMESPACE],
    }
    return [
        (place, resource, verb, right.name)
        for right in rights
        for place in where[right.scope]
        for resource in right.resources
        for verb in right.verbs
    ]


@modes
@accounts
def test_every_verb_of_a_role_is_needed_by_some_code_and_no_code_lacks_one(
    account: str, arguments: tuple[str, ...]
) -> None:
    namespaces = NAMESPACES if arguments else ()
    assert sorted(granted(render(*arguments), account)) == sorted(needed(ACCOUNTS[account], namespaces))


@pytest.mark.parametrize(
    "right",
    [
        right
        for rights in [
            *ACCOUNTS.values(),
            UNINSTALL_WITH_DEFINITIONS,
            OPERATOR_WITH_AUTHORITY,
            OPERATOR_WITH_CERT_MANAGER,
        ]
        for right in rights
    ],
    ids=lambda right: f"{right.code.rpartition(':')[2]}-{'-'.join(right.verbs)}",
)
def test_the_code_that_needs_a_right_is_there(right: Right) -> None:
    assert right.witness in right.source()


@modes
def test_models_may_only_be_deleted_where_their_definition_goes_too(arguments: tuple[str, ...]) -> None:
    objects = render(*arguments, "--set", "crds.keep=false")
    wanted = needed(UNINSTALL_WITH_DEFINITIONS, NAMESPACES if arguments else ())
    assert sorted(granted(objects, "uninstall")) == sorted(wanted)


@modes
@pytest.mark.parametrize(
    ("mode", "rights"),
    [
        ("internal", OPERATOR_WITH_AUTHORITY),
        ("cert-manager,podTls.certManager.issuerRef.name=models", OPERATOR_WITH_CERT_MANAGER),
    ],
)
def test_certificates_of_model_pods_add_no_more_than_their_code_needs(
    mode: str, rights: tuple[Right, ...], arguments: tuple[str, ...]
) -> None:
    objects = render(*arguments, "--set", f"podTls.mode={mode}")
    wanted = needed(rights, NAMESPACES if arguments else ())
    assert sorted(granted(objects, "operator")) == sorted(wanted)
    assert sorted(granted(objects, "gateway")) == sorted(
        needed(ACCOUNTS["gateway"], NAMESPACES if arguments else ())
    )


@modes
def test_profiles_that_the_chart_does_not_install_it_may_not_write(arguments: tuple[str, ...]) -> None:
    grants = granted(render(*arguments, "--set", "hardwareProfiles.enabled=false"), "operator")
    verbs = {verb for _, resource, verb, _ in grants if resource.startswith("atheriahardwareprofiles")}
    assert verbs == {"list", "watch"}


def test_with_named_namespaces_one_cluster_role_is_left_and_it_is_for_profiles() -> None:
    roles = [item for item in render(*NAMED) if item["kind"] == "ClusterRole"]
    assert [role["metadata"]["name"] for role in roles] == ["atheria-operator"]
    assert {resource for rule in roles[0]["rules"] for resource in rule["resources"]} == {
        "atheriahardwareprofiles"
    }


def test_operator_gateway_and_hook_are_told_the_same_namespaces() -> None:
    told: dict[str, str] = {}
    for item in render(*NAMED):
        if item["kind"] not in ("Deployment", "Job"):
            continue
        for container in item["spec"]["template"]["spec"]["containers"]:
            values = [one["value"] for one in container.get("env", []) if one["name"] == "ATHERIA_NAMESPACES"]
            values += [
                part.removeprefix("--namespaces=")
                for part in container.get("command", [])
                if part.startswith("--namespaces=")
            ]
            for value in values:
                told[container["name"]] = value
    assert told == dict.fromkeys(("operator", "activator", "uninstall"), "team-a,team-b")


@pytest.mark.parametrize("value", ["{Team}", "{a,a}", "team", "{a/b}"])
def test_a_namespace_that_cannot_be_one_is_refused(value: str) -> None:
    assert "namespaces" in refused("--set", f"operator.namespaces={value}")
