"""The Secrets and cert-manager's Certificates of model pods, and what their annotations tell without the keys being read."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from atheria_contract import names
from atheria_operator.domain.certificates.terms import (
    CERTIFICATE_LEFT_SECONDS,
    CERTIFICATE_SECONDS,
    Issue,
)
from atheria_operator.domain.names import Owner, common_labels, owned_metadata

SECRET: Final = "Secret"  # noqa: S105 - a kind
CERTIFICATE: Final = "Certificate"
CERT_MANAGER: Final = "cert-manager.io/v1"
ANNOTATION_ENDS: Final = f"{names.GROUP}/certificate-ends"
"""On a Secret with a certificate: when it ends, RFC 3339."""
ANNOTATION_AUTHORITIES: Final = f"{names.GROUP}/certificate-authorities"
"""On such a Secret: digest of the authorities in it."""
_TLS_TYPE: Final = "kubernetes.io/tls"
_CRT: Final = ".crt"
_KEY: Final = ".key"
_FILES: Final = (names.TLS_CERT_FILE, names.TLS_KEY_FILE, names.TLS_CA_FILE)
_CERT_MANAGERS: Final = "-cert-manager"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A certificate and its private key, both PEM."""

    certificate: bytes
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """What one side needs for mutual TLS."""

    pair: Pair
    authorities: bytes
    """Of the other side's certificates; PEM, one after the other."""
    ends_seconds: float
    """When the certificate ends, since the epoch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuerRef:
    """cert-manager's issuer."""

    name: str
    kind: str
    group: str


def secret_name(model: str, *, is_cert_managers: bool = False) -> str:
    """Of the Secret with the certificate of a model's pods. Each issuer has its own: neither overwrites what the other left."""
    return f"{model}-pod-tls{_CERT_MANAGERS if is_cert_managers else ''}"


def client_secret(name: str, *, is_cert_managers: bool = False) -> str:
    """Of the Secret with what the gateway shows to pods, by what the names of the release's objects begin with; as the chart calls it."""
    return f"{name}-pod-client{_CERT_MANAGERS if is_cert_managers else ''}"


def digest_of_authorities(authorities: bytes) -> str:
    """16 hexadecimal digits."""
    return hashlib.sha256(authorities).hexdigest()[:16]


def build_model_secret(model: Owner, issued: Issued) -> dict[str, Any]:
    """Of the model's namespace; it goes with the model."""
    return _secret(owned_metadata(model, secret_name(model.key.name)), issued)


def build_client_secret(namespace: str, name: str, issued: Issued) -> dict[str, Any]:
    """Of the release's namespace, for the gateway. The chart has made it, empty."""
    secret = _secret({"name": name, "namespace": namespace}, issued)
    # The type cannot be changed, and one of type kubernetes.io/tls cannot be empty.
    return {**secret, "type": "Opaque"}


def build_authority_secret(namespace: str, name: str, authorities: Mapping[str, Pair]) -> dict[str, Any]:
    """The authorities by name, with their keys."""
    data: dict[str, str] = {}
    for one, pair in sorted(authorities.items()):
        data |= {one + _CRT: _encoded(pair.certificate), one + _KEY: _encoded(pair.key)}
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": SECRET, "metadata": metadata, "data": data}


def read_authority_secret(body: Mapping[str, Any]) -> dict[str, Pair]:
    """The same back; an entry without its other half is left out. ValueError for what is not base64."""
    data = {key: base64.b64decode(value, validate=True) for key, value in (body.get("data") or {}).items()}
    found = {key.removesuffix(_CRT): value for key, value in data.items() if key.endswith(_CRT)}
    return {
        name: Pair(certificate=certificate, key=data[name + _KEY])
        for name, certificate in found.items()
        if name + _KEY in data
    }


def read_issue(metadata: Mapping[str, Any]) -> Issue | None:
    """What a Secret's annotations tell; None where they do not."""
    annotations = metadata.get("annotations") or {}
    try:
        ends = datetime.fromisoformat(str(annotations.get(ANNOTATION_ENDS) or ""))
    except ValueError:
        return None
    if ends.tzinfo is None:
        return None
    return Issue(
        ends_seconds=ends.timestamp(), authorities=str(annotations.get(ANNOTATION_AUTHORITIES) or "")
    )


def read_client_issue(body: Mapping[str, Any]) -> Issue | None:
    """The same of the gateway's Secret, which may be read; None also where its data is not what they tell."""
    data, issue = body.get("data") or {}, read_issue(body["metadata"])
    if issue is None or not all(data.get(name) for name in _FILES):
        return None
    authorities = base64.b64decode(data[names.TLS_CA_FILE])
    return issue if digest_of_authorities(authorities) == issue.authorities else None


def is_foreign(metadata: Mapping[str, Any]) -> bool:
    """Whether somebody else wrote the data of a Secret after the operator, or took it away, as its managedFields tell. Without them it
    is not known, and False."""
    fields = metadata.get("managedFields") or ()
    ours = {
        name
        for entry in fields
        if entry.get("manager") == names.FIELD_MANAGER_OPERATOR
        for name in (entry.get("fieldsV1") or {}).get("f:data") or {}
    }
    return bool(fields) and not {f"f:{name}" for name in _FILES} <= ours


def build_certificate(model: Owner, issuer: IssuerRef) -> dict[str, Any]:
    """What cert-manager is asked for: as the operator's own certificates, for pods of this model and as a server only."""
    name = secret_name(model.key.name, is_cert_managers=True)
    return {
        "apiVersion": CERT_MANAGER,
        "kind": CERTIFICATE,
        "metadata": owned_metadata(model, name),
        "spec": {
            "secretName": name,
            "secretTemplate": {"labels": common_labels(model.key)},
            "dnsNames": [names.pod_host(model.key.namespace, model.key.name)],
            "usages": ["digital signature", "server auth"],
            "duration": _hours(CERTIFICATE_SECONDS),
            "renewBefore": _hours(CERTIFICATE_LEFT_SECONDS),
            "privateKey": {"algorithm": "ECDSA", "size": 256, "rotationPolicy": "Always"},
            "issuerRef": {"name": issuer.name, "kind": issuer.kind, "group": issuer.group},
        },
    }


def _secret(metadata: Mapping[str, Any], issued: Issued) -> dict[str, Any]:
    ends = datetime.fromtimestamp(issued.ends_seconds, UTC).isoformat(timespec="seconds")
    annotations = {
        ANNOTATION_ENDS: ends,
        ANNOTATION_AUTHORITIES: digest_of_authorities(issued.authorities),
    }
    return {
        "apiVersion": "v1",
        "kind": SECRET,
        "metadata": {**metadata, "annotations": annotations},
        "type": _TLS_TYPE,
        "data": {
            names.TLS_CERT_FILE: _encoded(issued.pair.certificate),
            names.TLS_KEY_FILE: _encoded(issued.pair.key),
            names.TLS_CA_FILE: _encoded(issued.authorities),
        },
    }


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:.0f}h0m0s"
