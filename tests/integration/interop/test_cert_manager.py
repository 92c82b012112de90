"""podTls.mode cert-manager with the real cert-manager: what chart and operator ask of it, calls by what it issues, and renewals by the hour.

The issuer is that of docs/security.md. There is no kubelet: the tests mount Secrets as it does, by the volumes of the rendered pods.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from atheria_contract import names
from atheria_gateway.adapters.envoy_admin import EnvoyAdmin
from atheria_local import programs
from atheria_operator.adapters.pod_identity import MountedIdentity
from atheria_operator.domain.certificates.stored import Pair, client_secret, secret_name
from bench.installation import rendered_rights
from tests.integration.gateway.harness import QCA, Watched, slice_object
from tests.integration.gateway.tls_pods import (
    HOST,
    Load,
    infer,
    refusal,
    rest_status,
    running,
    serving,
    slice_of,
    taken_up,
)
from tests.integration.interop.harness import (
    MountedSecret,
    documented,
    install,
    needs,
    running_program,
)
from tests.integration.operator.certificate_requests import Asking, asking
from tests.integration.operator.harness import (
    SYSTEM_NAMESPACE,
    Namespace,
    OperatorProcess,
    eventually,
    running_operator,
)

pytestmark = [needs("cert-manager"), pytest.mark.timeout(600)]

DAY_SECONDS = 86_400
SECONDS = 120
"""cert-manager waits up to a minute before it looks again at an issuer that was not there."""
ISSUER = "atheria-pods"
ISSUERS_NAMESPACE = "cert-manager"
CLIENT = client_secret("atheria", is_cert_managers=True)
VALUES = ["podTls.mode=cert-manager", f"podTls.certManager.issuerRef.name={ISSUER}"]
VOLUME = "pod-tls"
RENEWED_EACH_SECONDS = 15
ACCOUNT = "system:serviceaccount:cert-manager:cert-manager"


class Release:
    """What the chart renders in this mode, and a gateway's Deployment without pods."""

    def __init__(self, cluster: Any) -> None:
        self.cluster = cluster
        self.space = Namespace(cluster, QCA.namespace)
        found = rendered_rights(
            "operator-rbac",
            "gateway-rbac",
            "pod-tls",
            "certificate-policy",
            "gateway",
            "operator",
            values=VALUES,
        )
        deployments = {item["metadata"]["name"]: item for item in found if item["kind"] == "Deployment"}
        self._operator = deployments["atheria-operator"]
        gateway = deployments["atheria-gateway"]
        gateway["spec"]["replicas"] = 0
        # It has no pods, so there is nobody whose end the operator has to wait for.
        pods = gateway["spec"]["template"]["spec"]
        pods["terminationGracePeriodSeconds"] = 1
        for container in pods["containers"]:
            container.pop("lifecycle", None)
        self.client_volume = volume_of(gateway)
        applied = [item for item in found if item["kind"] not in ("Deployment", "Service")]
        cluster.apply(*applied, gateway)

    def operator(self, folder: Path) -> OperatorProcess:
        """As its pod starts it: with the chart's variables, once its volume can be mounted. Not started."""
        mounted = MountedSecret(
            self.cluster, SYSTEM_NAMESPACE, volume_of(self._operator), folder / "operator-pod-tls"
        )
        (container,) = self._operator["spec"]["template"]["spec"]["containers"]
        told = {
            item["name"]: item["value"]
            for item in container["env"]
            if item["name"].startswith("ATHERIA_POD_TLS")
        }
        return OperatorProcess(
            folder,
            self.cluster.kubeconfig_of_the_operator(folder / "kubeconfig-tls", "atheria-operator"),
            **{**told, "ATHERIA_POD_TLS_DIRECTORY": str(mounted.folder)},
        )

    def pods_of(self, model: str) -> dict[str, Any] | None:
        """The Deployment of a revision of the model whose pods speak TLS, once there is one."""
        for one in self.space.get("deployments", "-l", f"{names.LABEL_MODEL}={model}")["items"]:
            if one["spec"]["template"]["metadata"]["labels"].get(names.LABEL_TLS) == names.TLS_MUTUAL:
                return dict(one)
        return None


def volume_of(deployment: dict[str, Any]) -> dict[str, Any]:
    (found,) = [one for one in deployment["spec"]["template"]["spec"]["volumes"] if one["name"] == VOLUME]
    return dict(found)


@pytest.fixture(scope="module")
def cert_manager(cluster: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The controllers; neither cainjector nor webhook, which no object of Atheria's needs."""
    cluster.kubectl("create", "namespace", ISSUERS_NAMESPACE)
    cluster.kubectl("create", "namespace", QCA.namespace)
    folder = tmp_path_factory.mktemp("cert-manager")
    install(cluster, programs.kept(programs.CERT_MANAGER, "deploy/crds"))
    # By the name of its own account, which the chart's policy knows.
    kubeconfig = yaml.safe_load(cluster.plane.kubeconfig.read_text(encoding="utf-8"))
    for one in kubeconfig["users"]:
        one["user"] |= {"as": ACCOUNT, "as-groups": ["system:masters"]}
    file = folder / "kubeconfig"
    file.write_text(json.dumps(kubeconfig), encoding="utf-8")
    arguments = [
        f"--kubeconfig={file}",
        f"--cluster-resource-namespace={ISSUERS_NAMESPACE}",
    ]
    with running_program(programs.CERT_MANAGER, folder, *arguments) as process:
        yield process


@pytest.fixture(scope="module")
def release(cluster: Any, cert_manager: Any) -> Release:
    """With its policy, and the issuer of the page, which has signed what the gateway shows."""
    found = Release(cluster)
    cluster.apply(*documented("security.md", "ClusterIssuer"))
    ready(cluster, SYSTEM_NAMESPACE, CLIENT)
    return found


@pytest.fixture(scope="module")
def operator(cluster: Any, release: Release, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Started when the model `before` served plain text, and while the issuer is not there."""
    folder = tmp_path_factory.mktemp("operator")
    plain = tmp_path_factory.mktemp("plain-operator")
    with running_operator(cluster, plain) as one:
        release.space.apply_model("before")
        release.space.make_ready(release.space.wait_active("before"))
        release.space.wait_condition("Ready", "True", name="before")
        one.terminate()
    cluster.kubectl("delete", "clusterissuer", ISSUER)
    found = release.operator(folder)
    try:
        found.start()
        yield found
    finally:
        found.kill()


@pytest.fixture(scope="module")
def deployment(cluster: Any, release: Release, operator: Any) -> dict[str, Any]:
    """The pods of a new model, demo/qca, with the issuer there again: it and the model `before` have their certificates."""
    cluster.apply(*documented("security.md", "ClusterIssuer"))
    release.space.apply_model(QCA.name)
    found = eventually("pods that speak TLS", lambda: release.pods_of(QCA.name), SECONDS)
    for model in (QCA.name, "before"):
        ready(cluster, QCA.namespace, secret_name(model, is_cert_managers=True))
    return found


def ready(cluster: Any, namespace: str, name: str) -> dict[str, Any]:
    """A Certificate that cert-manager has issued."""

    def look() -> dict[str, Any] | None:
        found = cluster.find("certificate", name, "-n", namespace)
        conditions = ((found or {}).get("status") or {}).get("conditions") or ()
        is_ready = any((one["type"], one["status"]) == ("Ready", "True") for one in conditions)
        return dict(found) if is_ready else None

    return eventually(f"Certificate {namespace}/{name} to be ready", look, SECONDS)


def pair(files: dict[str, bytes]) -> Pair:
    return Pair(certificate=files[names.TLS_CERT_FILE], key=files[names.TLS_KEY_FILE])


def leaf(files: dict[str, bytes]) -> x509.Certificate:
    """The certificate, which the authority beside it has signed."""
    (found,) = x509.load_pem_x509_certificates(files[names.TLS_CERT_FILE])
    (signer,) = x509.load_pem_x509_certificates(files[names.TLS_CA_FILE])
    found.verify_directly_issued_by(signer)
    return found


def told_of(certificate: x509.Certificate) -> tuple[list[str], list[Any], float]:
    """Hosts, purposes and the days that it has left."""
    hosts = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    purposes = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    left_seconds = certificate.not_valid_after_utc.timestamp() - time.time()
    return hosts.get_values_for_type(x509.DNSName), list(purposes), left_seconds / DAY_SECONDS


def test_gateway_and_operator_get_the_files_that_they_wait_for_from_the_charts_certificate(
    cluster: Any, release: Release, tmp_path: Path
) -> None:
    mounted = MountedSecret(cluster, SYSTEM_NAMESPACE, release.client_volume, tmp_path / "client")
    assert mounted.files_now.keys() == {names.TLS_CERT_FILE, names.TLS_KEY_FILE, names.TLS_CA_FILE}
    hosts, purposes, days = told_of(leaf(mounted.files_now))
    assert f"atheria-gateway.{SYSTEM_NAMESPACE}.svc" in hosts
    assert purposes == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert 89 < days <= 90


@pytest.fixture(scope="module")
def tenant(cluster: Any, release: Release) -> Iterator[Asking]:
    """A namespace of a tenant, once the API server knows the chart's policy."""
    with asking(cluster, ISSUER) as found:
        yield found


def test_the_policy_knows_the_certificates_of_cert_managers_own_definitions(tenant: Asking) -> None:
    client = ["digital signature", "client auth"]
    assert tenant.answer(tenant.certificate()) == ""
    assert tenant.answer(tenant.certificate(SYSTEM_NAMESPACE, usages=client)) == ""
    assert "usages of the ClusterIssuer" in tenant.answer(tenant.certificate(usages=client))
    assert "signs dnsNames and nothing else" in tenant.answer(tenant.certificate(commonName="qca.demo.svc"))
    request = tenant.asked("CertificateRequest", request="AA==", usages=["digital signature", "server auth"])
    assert f"only {ACCOUNT} makes requests" in tenant.answer(request)


def test_a_model_says_why_its_certificate_is_not_issued_and_changes_to_tls_when_it_is(
    cluster: Any, release: Release, operator: Any
) -> None:
    space = release.space
    name = secret_name("before", is_cert_managers=True)
    problem = space.wait_condition("Accepted", "False", "CertificateNotReady", "before")
    assert f"describe certificate {name}" in problem["message"]
    assert release.pods_of("before") is None
    cluster.apply(*documented("security.md", "ClusterIssuer"))
    ready(cluster, space.name, name)
    changed = eventually("pods that speak TLS", lambda: release.pods_of("before"), SECONDS)
    assert volume_of(changed)["secret"]["secretName"] == name
    space.wait_condition("Accepted", "True", name="before")
    # What is stored is what was asked for: it is asked for once.
    assert operator.log.count("model=demo/before certificate=") == 1


@pytest.fixture
def pod(cluster: Any, deployment: dict[str, Any], tmp_path: Path) -> MountedSecret:
    """The volume of the pods of demo/qca."""
    return MountedSecret(cluster, QCA.namespace, volume_of(deployment), tmp_path / "pod")


@pytest.fixture
async def gateway(
    cluster: Any, release: Release, run_directory: Path, tmp_path: Path
) -> AsyncIterator[tuple[Any, MountedSecret]]:
    """A real Envoy with the volume of the gateway's pods."""
    client = MountedSecret(cluster, SYSTEM_NAMESPACE, release.client_volume, tmp_path / "client")
    async with running(run_directory, pod_tls=client.files) as one:
        yield one, client


def renew_often(cluster: Any, namespace: str, name: str) -> None:
    """As short as cert-manager lets certificates be, and renewed soon after they were issued."""
    renew_before = f"59m{60 - RENEWED_EACH_SECONDS}s"
    spec = {"duration": "1h", "renewBefore": renew_before}
    cluster.kubectl("patch", "certificate", name, "-n", namespace, "--type=merge", "-p", json.dumps({"spec": spec}))  # fmt: skip


async def renewed(*mounted: MountedSecret) -> None:
    """Until cert-manager has renewed all, and each is mounted."""
    for one in mounted:
        serial = leaf(one.files_now).serial_number
        key = one.files_now[names.TLS_KEY_FILE]
        async with asyncio.timeout(SECONDS):
            while not await asyncio.to_thread(one.sync):  # noqa: ASYNC110 - another process sets no event
                await asyncio.sleep(0.2)
        assert leaf(one.files_now).serial_number != serial
        assert one.files_now[names.TLS_KEY_FILE] != key


async def test_calls_pass_by_mutual_tls_and_none_is_lost_while_cert_manager_renews_both_sides(
    cluster: Any, pod: MountedSecret, gateway: tuple[Any, MountedSecret]
) -> None:
    envoy, client = gateway
    hosts, purposes, days = told_of(leaf(pod.files_now))
    assert (hosts, purposes) == ([HOST], [ExtendedKeyUsageOID.SERVER_AUTH])
    assert 89 < days <= 90
    with serving(pod) as server:
        envoy.kube.put(Watched.SLICES, slice_of(server, has_tls=True))
        assert await infer(envoy, server) == server.name
        # The operator's own requests to pods, by the same Secret.
        context = MountedIdentity(str(client.folder)).context()
        assert rest_status(server, "/v2/models/m", context) == 200
        trusted = Pair(certificate=pod.files_now[names.TLS_CA_FILE], key=b"")
        for shown in (None, pair(pod.files_now)):
            assert refusal(server, trusted, shown) is grpc.StatusCode.UNAVAILABLE
        renew_often(cluster, QCA.namespace, secret_name(QCA.name, is_cert_managers=True))
        renew_often(cluster, SYSTEM_NAMESPACE, CLIENT)
        async with Load(envoy, server) as load:
            # The first by the change of the Certificate, then two by time.
            for _ in range(3):
                await renewed(pod, client)
                await taken_up(envoy, server, pair(pod.files_now), pair(client.files_now))
                await load.more()
                # Without its pod Envoy closes the connections, and opens new ones with what is mounted now.
                envoy.kube.put(Watched.SLICES, slice_object(QCA, None))
                envoy.kube.put(Watched.SLICES, slice_of(server, has_tls=True))
                await load.more()
        admin = EnvoyAdmin(envoy.settings.admin_socket)
        ends_seconds = await admin.certificate_expiry_seconds()
        await admin.close()
        assert ends_seconds is not None
        assert 0 < ends_seconds - time.time() <= 3600


def test_the_operator_puts_a_certificate_right_that_somebody_changed(
    cluster: Any, operator: Any, deployment: dict[str, Any]
) -> None:
    name = secret_name(QCA.name, is_cert_managers=True)
    operator.terminate()
    renew_often(cluster, QCA.namespace, name)
    operator.start()

    def look() -> bool:
        spec = cluster.get("certificate", name, "-n", QCA.namespace)["spec"]
        return bool(spec["duration"] == "2160h0m0s" and spec["renewBefore"] == "720h0m0s")

    eventually("the operator's Certificate", look, SECONDS)


def test_what_is_left_behind_goes_by_the_commands_of_the_page(
    cluster: Any, release: Release, operator: Any, deployment: dict[str, Any]
) -> None:
    page = (Path(__file__).parents[3] / "docs" / "security.md").read_text(encoding="utf-8")
    after = page.partition("# after cert-manager\n")[2].partition("# after internal")[0]
    commands = [line.split()[1:] for line in after.splitlines() if line.strip()]
    assert len(commands) == 3
    gone, stays = secret_name("before", is_cert_managers=True), secret_name(QCA.name, is_cert_managers=True)
    release.space.kubectl("delete", "atheriamodel", "before")
    release.space.kubectl("wait", "--for=delete", f"certificate/{gone}", "--timeout=60s")
    assert release.space.get("secret", gone)["data"]
    assert release.space.get("certificate", stays)
    # Another mode: Helm takes the chart's Certificate away, and the operator asks for none.
    operator.terminate()
    cluster.kubectl("delete", "certificate", CLIENT, "-n", SYSTEM_NAMESPACE)
    for command in commands:
        said = cluster.kubectl(*(word.replace("RELEASE", "atheria") for word in command))
        assert "deleted" in said, command

    def left() -> list[str]:
        listed = [item["metadata"]["name"] for item in cluster.get("secrets", "-A")["items"]]
        return [one for one in listed if "-cert-manager" in one]

    # One that cert-manager was about to issue goes with its Certificate, by the garbage collector.
    eventually("no Secret of cert-manager's any more", lambda: not left(), SECONDS)
