"""What Envoy is told about pods that speak TLS: who they must be, what it shows them, and which ones they are."""

from __future__ import annotations

import json
from pathlib import Path

from envoy.config.cluster.v3 import cluster_pb2
from envoy.extensions.transport_sockets.tls.v3 import common_pb2, tls_pb2

from atheria_contract import names
from atheria_gateway.__main__ import write_bootstrap
from atheria_gateway.core.endpoints import Endpoint
from atheria_gateway.core.model import ModelKey
from atheria_gateway.settings import Settings, settings_from
from atheria_gateway.xds.cluster_names import pods_cluster, revision_cluster, serving_cluster
from atheria_gateway.xds.clusters import build_cluster
from atheria_gateway.xds.load_assignments import build_load_assignment
from atheria_gateway.xds.tls import MATCH, MATCH_METADATA, TlsFiles

QCA = ModelKey(namespace="demo", name="qca")


def upstream(cluster: cluster_pb2.Cluster) -> tls_pb2.UpstreamTlsContext:
    encrypted, plain = cluster.transport_socket_matches
    assert dict(encrypted.match) == {MATCH: names.TLS_MUTUAL}
    assert (dict(plain.match), plain.transport_socket.name) == ({}, "envoy.transport_sockets.raw_buffer")
    context = tls_pb2.UpstreamTlsContext()
    assert encrypted.transport_socket.typed_config.Unpack(context)
    return context


def test_every_cluster_of_a_model_wants_that_very_model_and_speaks_its_ports_protocol() -> None:
    for http in (False, True):
        for name in (
            serving_cluster(QCA, http=http),
            pods_cluster(QCA, http=http),
            revision_cluster(QCA, "qca-r1", http=http),
        ):
            context = upstream(build_cluster(name, http=http, tls_directory="/run/x"))
            common = context.common_tls_context
            assert list(common.alpn_protocols) == ["http/1.1" if http else "h2"]
            (wanted,) = (
                common.combined_validation_context.default_validation_context.match_typed_subject_alt_names
            )
            assert wanted.san_type == common_pb2.SubjectAltNameMatcher.DNS
            assert wanted.matcher.exact == context.sni == "qca.demo.svc"
            assert common.tls_params.tls_minimum_protocol_version == common_pb2.TlsParameters.TLSv1_2
            (shown,) = common.tls_certificate_sds_secret_configs
            trusted = common.combined_validation_context.validation_context_sds_secret_config
            paths = [one.sds_config.path_config_source.path for one in (shown, trusted)]
            assert paths == ["/run/x/pod-certificate.json", "/run/x/pod-authority.json"]


def test_without_certificates_a_cluster_is_as_before() -> None:
    assert not build_cluster("demo/qca", http=False).transport_socket_matches


def test_only_pods_that_say_so_are_marked_and_never_the_hold() -> None:
    pods = (Endpoint(address="10.0.0.1"), Endpoint(address="10.0.0.2", has_tls=True))
    first, hold = build_load_assignment("demo/qca", pods, http=False, hold_socket="/hold").endpoints
    marked = [MATCH_METADATA in one.metadata.filter_metadata for one in first.lb_endpoints]
    assert marked == [False, True]
    assert first.lb_endpoints[1].metadata.filter_metadata[MATCH_METADATA][MATCH] == names.TLS_MUTUAL
    assert not hold.lb_endpoints[0].metadata.filter_metadata


def test_the_bootstrap_leaves_what_sds_reads_in_the_folder_that_the_activator_names(tmp_path: Path) -> None:
    assert settings_from({}).pod_tls is None
    files = settings_from({names.ENV_POD_TLS_DIRECTORY: "/etc/atheria/pod-tls"}).pod_tls
    assert files == TlsFiles(
        certificate="/etc/atheria/pod-tls/tls.crt",
        key="/etc/atheria/pod-tls/tls.key",
        client_authority="/etc/atheria/pod-tls/ca.crt",
    )
    write_bootstrap(tmp_path / "envoy", Settings(run_directory=str(tmp_path / "run"), pod_tls=files))
    (shown,) = json.loads((tmp_path / "run" / "pod-certificate.json").read_text())["resources"]
    assert shown["tls_certificate"]["private_key"] == {"filename": "/etc/atheria/pod-tls/tls.key"}
    assert shown["tls_certificate"]["watched_directory"] == {"path": "/etc/atheria/pod-tls"}
    (trusted,) = json.loads((tmp_path / "run" / "pod-authority.json").read_text())["resources"]
    assert trusted["validation_context"]["trusted_ca"] == {"filename": "/etc/atheria/pod-tls/ca.crt"}
