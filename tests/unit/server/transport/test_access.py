"""Who is called what by gRPC's and HTTP's own words, and what is open."""

from __future__ import annotations

from typing import Any

import pytest

from atheria_server.transport.access import _http_certificate_caller, grpc_peer_caller, is_open_path


class Context:
    """The part of grpc's context that tells who the peer is."""

    def __init__(self, peer: str, **auth: list[bytes]) -> None:
        self._peer = peer
        self._auth = auth

    def peer(self) -> str:
        return self._peer

    def peer_identity_key(self) -> str | None:
        return "x509_subject_alternative_name" if self._auth else None

    def auth_context(self) -> dict[str, list[bytes]]:
        return self._auth


@pytest.mark.parametrize(
    ("peer", "caller"),
    [
        ("ipv4:10.0.0.1:4711", "address:10.0.0.1"),
        ("ipv6:%5B2001:db8::1%5D:4711", "address:2001:db8::/64"),
        ("ipv6:[::ffff:10.0.0.1]:4711", "address:10.0.0.1"),
        ("unix:/run/x.sock", "address:"),
    ],
)
def test_a_peer_of_grpc_is_called_by_its_host(peer: str, caller: str) -> None:
    assert grpc_peer_caller(Context(peer)) == caller


def test_a_client_certificate_has_one_name_in_both_protocols() -> None:
    grpc_context = Context(
        "ipv4:10.0.0.1:1", peer_uri=[b"spiffe://a/b"], peer_dns=[b"b"], x509_common_name=[b"c"]
    )
    http_certificate: dict[str, Any] = {
        "subject": ((("organizationName", "o"),), (("commonName", "c"),)),
        "subjectAltName": (("DNS", "b"), ("URI", "spiffe://a/b")),
    }
    assert (
        grpc_peer_caller(grpc_context)
        == _http_certificate_caller(http_certificate)
        == "certificate:spiffe://a/b"
    )
    named = Context("ipv4:10.0.0.1:1", x509_common_name=[b"c"])
    only_name = {"subject": http_certificate["subject"]}
    assert grpc_peer_caller(named) == _http_certificate_caller(only_name) == "certificate:c"


@pytest.mark.parametrize(
    ("path", "is_open"),
    [
        ("/v2/health/live", True),
        ("/v2/health/ready", True),
        ("/v2/models/m/ready", True),
        ("/v2/models/m/versions/1/ready", True),
        ("/health", True),
        ("/metrics", True),
        ("/v2/models/m", False),
        ("/v2/models/m/infer", False),
        ("/v2/models/m/infer/ready", False),
        ("/v2/models/m/stream", False),
        ("/metrics/", False),
        ("/predict", False),
        ("/v2/health/live\n", False),
    ],
)
def test_only_health_readiness_and_metrics_are_open(path: str, is_open: bool) -> None:
    assert is_open_path(path) == is_open
