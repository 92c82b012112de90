"""TLS of the data listeners: certificates by file, watched, so that a renewed one needs no restart."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final

_TYPE: Final = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3."
CERTIFICATE: Final = "certificate"
AUTHORITY: Final = "authority"


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """Paths of PEM files, as Kubernetes mounts a Secret."""

    certificate: str
    """The certificate with its chain."""
    key: str
    """Its unencrypted private key."""
    client_authority: str = ""
    """Authority of the callers' certificates (mTLS): every connection needs one; empty = none is asked for."""


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
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": _TYPE + "DownstreamTlsContext",
            "common_tls_context": common,
            "require_client_certificate": bool(files.client_authority),
        },
    }


def secrets(files: TlsFiles) -> dict[str, dict[str, Any]]:
    """What SDS reads, by name of the file beside the bootstrap."""
    found = {
        CERTIFICATE: {
            "tls_certificate": {
                "certificate_chain": {"filename": files.certificate},
                "private_key": {"filename": files.key},
                "watched_directory": {"path": str(PurePosixPath(files.certificate).parent)},
            }
        }
    }
    if files.client_authority:
        found[AUTHORITY] = {
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
