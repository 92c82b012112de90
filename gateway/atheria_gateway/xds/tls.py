"""TLS of the data listeners and towards model pods: certificates by file, watched, so that a renewed one needs no restart."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final, Self

from envoy.config.cluster.v3 import cluster_pb2
from envoy.extensions.transport_sockets.raw_buffer.v3 import raw_buffer_pb2
from envoy.extensions.transport_sockets.tls.v3 import common_pb2, secret_pb2, tls_pb2

from atheria_contract import names

_TYPE: Final = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3."
CERTIFICATE: Final = "certificate"
AUTHORITY: Final = "authority"
POD_CERTIFICATE: Final = "pod-certificate"
POD_AUTHORITY: Final = "pod-authority"
MATCH_METADATA: Final = "envoy.transport_socket_match"
"""Envoy's own namespace of endpoint metadata by which a transport socket is chosen."""
MATCH: Final = "tls"
"""Key in it; `names.TLS_MUTUAL` for pods that ask for a certificate, absent for plain ones and for the hold."""
_TLS: Final = "envoy.transport_sockets.tls"


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """Paths of PEM files, as Kubernetes mounts a Secret."""

    certificate: str
    """The certificate with its chain."""
    key: str
    """Its unencrypted private key."""
    client_authority: str = ""
    """Authority of the other side's certificates (mTLS): every connection needs one; empty = none is asked for."""

    @classmethod
    def mounted(cls, directory: str) -> Self:
        """A folder with all three files under the names that Secrets give them."""
        return cls(
            certificate=f"{directory}/{names.TLS_CERT_FILE}",
            key=f"{directory}/{names.TLS_KEY_FILE}",
            client_authority=f"{directory}/{names.TLS_CA_FILE}",
        )


def transport_socket(files: TlsFiles, directory: str) -> dict[str, Any]:
    """The listener's transport socket; `directory` has the files of `secrets`."""
    common: dict[str, Any] = {
        "alpn_protocols": ["h2", "http/1.1"],
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
        "tls_certificate_sds_secret_configs": [_by_file(CERTIFICATE, directory)],
    }
    if files.client_authority:
        common["validation_context_sds_secret_config"] = _by_file(AUTHORITY, directory)
    return {
        "name": _TLS,
        "typed_config": {
            "@type": _TYPE + "DownstreamTlsContext",
            "common_tls_context": common,
            "require_client_certificate": bool(files.client_authority),
        },
    }


def choose_transport(cluster: cluster_pb2.Cluster, *, host: str, http: bool, directory: str) -> None:
    """Let a cluster speak TLS to those of its endpoints that say so, and plain text to the others.

    Each pod of a revision that asks for a certificate must show one for `host` itself. `directory` has the files of `pod_secrets`.
    """
    context = tls_pb2.UpstreamTlsContext(sni=host)
    # Every connection proves anew who is there: addresses of pods are used again, and authorities change.
    context.max_session_keys.value = 0
    common = context.common_tls_context
    common.alpn_protocols.append("http/1.1" if http else "h2")
    common.tls_params.tls_minimum_protocol_version = common_pb2.TlsParameters.TLSv1_2
    _read_by_file(common.tls_certificate_sds_secret_configs.add(), POD_CERTIFICATE, directory)
    validation = common.combined_validation_context
    expected = validation.default_validation_context.match_typed_subject_alt_names.add()
    expected.san_type = common_pb2.SubjectAltNameMatcher.DNS
    expected.matcher.exact = host
    _read_by_file(validation.validation_context_sds_secret_config, POD_AUTHORITY, directory)
    encrypted = cluster.transport_socket_matches.add(name=names.TLS_MUTUAL)
    encrypted.match[MATCH] = names.TLS_MUTUAL
    encrypted.transport_socket.name = _TLS
    encrypted.transport_socket.typed_config.Pack(context, deterministic=True)
    # The last one takes what no other took.
    plain = cluster.transport_socket_matches.add(name="plain")
    plain.match.SetInParent()
    plain.transport_socket.name = "envoy.transport_sockets.raw_buffer"
    plain.transport_socket.typed_config.Pack(raw_buffer_pb2.RawBuffer())


def secrets(files: TlsFiles) -> dict[str, dict[str, Any]]:
    """What SDS reads for the listeners, by name of the file beside the bootstrap."""
    return _secrets(files, CERTIFICATE, AUTHORITY)


def pod_secrets(files: TlsFiles) -> dict[str, dict[str, Any]]:
    """What SDS reads for connections to pods, by name of the file in the folder that `choose_transport` was told."""
    return _secrets(files, POD_CERTIFICATE, POD_AUTHORITY)


def _secrets(files: TlsFiles, certificate: str, authority: str) -> dict[str, dict[str, Any]]:
    found = {
        certificate: {
            "tls_certificate": {
                "certificate_chain": {"filename": files.certificate},
                "private_key": {"filename": files.key},
                "watched_directory": {"path": str(PurePosixPath(files.certificate).parent)},
            }
        }
    }
    if files.client_authority:
        found[authority] = {
            "validation_context": {
                "trusted_ca": {"filename": files.client_authority},
                "watched_directory": {"path": str(PurePosixPath(files.client_authority).parent)},
            }
        }
    return {
        f"{name}.json": {"resources": [{"@type": _TYPE + "Secret", "name": name, **secret}]}
        for name, secret in found.items()
    }


def _by_file(name: str, directory: str) -> dict[str, Any]:
    return {
        "name": name,
        "sds_config": {
            "path_config_source": {"path": f"{directory}/{name}.json"},
            "resource_api_version": "V3",
        },
    }


def _read_by_file(config: secret_pb2.SdsSecretConfig, name: str, directory: str) -> None:
    config.name = name
    config.sds_config.path_config_source.path = f"{directory}/{name}.json"
    config.sds_config.resource_api_version = 2
