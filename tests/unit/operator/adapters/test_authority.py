"""Certificates are good for one side, one name and one authority; real handshakes in memory prove it."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from atheria_operator.adapters.authority import P256Issuer
from atheria_operator.adapters.pod_identity import (
    IssuedIdentity,
    MountedIdentity,
    NoIdentity,
    request_options,
)
from atheria_operator.domain.certificates.stored import Issued, Pair
from atheria_operator.runtime.ports import Usage

NOW, HOUR = 1_900_000_000.0, 3600.0
ISSUER = P256Issuer()
HOST = "qca.demo.svc"


@pytest.fixture(scope="module")
def now() -> float:

    return time.time()


def authority(name: str, now: float) -> Pair:
    return ISSUER.authority(name, now_seconds=now, seconds=HOUR)


def certificate(signer: Pair, now: float, host: str = HOST, usage: Usage = Usage.SERVER) -> Pair:
    return ISSUER.issue(signer, host, usage, now_seconds=now, seconds=HOUR)


def context(side: ssl._SSLMethod, pair: Pair, trusted: Pair, folder: Path) -> ssl.SSLContext:
    made = ssl.SSLContext(side)
    file = folder / "pair.pem"
    file.write_bytes(pair.certificate + pair.key)
    made.load_cert_chain(file)
    made.load_verify_locations(cadata=trusted.certificate.decode())
    made.verify_mode = ssl.CERT_REQUIRED
    made.verify_flags |= ssl.VERIFY_X509_STRICT
    return made


def shake(server: ssl.SSLContext, client: ssl.SSLContext, host: str = HOST) -> None:
    """Raises ssl.SSLError where either side refuses."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [
        client.wrap_bio(to_client, to_server, server_hostname=host),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    for _ in range(10):
        for side in list(sides):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            sides.remove(side)
    assert not sides, "the handshake does not end"


def test_both_sides_know_each_other_and_nobody_passes_with_what_is_for_the_other_side(
    tmp_path: Path, now: float
) -> None:
    ours, theirs = authority("ours", now), authority("theirs", now)
    server = context(ssl.PROTOCOL_TLS_SERVER, certificate(ours, now), ours, tmp_path)
    client = context(
        ssl.PROTOCOL_TLS_CLIENT, certificate(ours, now, "gateway.system.svc", Usage.CLIENT), ours, tmp_path
    )
    shake(server, client)
    for refused in (
        # A model's own certificate, and a client's of another authority.
        certificate(ours, now, "other.demo.svc"),
        certificate(theirs, now, "gateway.system.svc", Usage.CLIENT),
    ):
        with pytest.raises(ssl.SSLError):
            shake(server, context(ssl.PROTOCOL_TLS_CLIENT, refused, ours, tmp_path))
    for refused in (
        # Another model's, the gateway's, and one of another authority.
        certificate(ours, now, "other.demo.svc"),
        certificate(ours, now, HOST, Usage.CLIENT),
        certificate(theirs, now),
    ):
        with pytest.raises(ssl.SSLError):
            shake(context(ssl.PROTOCOL_TLS_SERVER, refused, ours, tmp_path), client)


def test_a_certificate_never_outlasts_its_authority_and_tells_its_term() -> None:
    signer = authority("short", NOW)
    made = ISSUER.issue(signer, HOST, Usage.SERVER, now_seconds=NOW + 600, seconds=10 * HOUR)
    assert ISSUER.term("", made.certificate).ends_seconds == NOW + HOUR
    term = ISSUER.term("short", signer.certificate)
    assert (term.name, term.begins_seconds, term.ends_seconds) == ("short", NOW, NOW + HOUR)
    with pytest.raises(ValueError, match="PEM"):
        ISSUER.term("", b"no certificate")


def with_password(pair: Pair) -> Pair:
    key = serialization.load_pem_private_key(pair.key, None)
    return replace(
        pair,
        key=key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        ),
    )


def without_identifier(pair: Pair) -> Pair:
    key = serialization.load_pem_private_key(pair.key, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    signer = x509.load_pem_x509_certificate(pair.certificate)
    builder = x509.CertificateBuilder(
        signer.issuer,
        signer.subject,
        signer.public_key(),
        signer.serial_number,
        signer.not_valid_before_utc,
        signer.not_valid_after_utc,
    ).add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    made = builder.sign(key, hashes.SHA256())
    return replace(pair, certificate=made.public_bytes(serialization.Encoding.PEM))


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (with_password, "password was not given|encrypted"),
        (without_identifier, "cannot sign: .*SubjectKeyIdentifier"),
        (lambda pair: replace(pair, key=b"no key"), "PEM"),
        (lambda pair: replace(pair, key=authority("other", NOW).key), "not that of its key"),
        (lambda pair: certificate(pair, NOW), "the authority cannot sign"),
    ],
    ids=["password", "no identifier", "garbage", "another key", "a pod's"],
)
def test_an_authority_that_cannot_sign_is_a_value_that_is_wrong(
    break_it: Callable[[Pair], Pair], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        certificate(break_it(authority("ours", NOW)), NOW)


def test_a_key_is_in_no_repr() -> None:
    signer = authority("ours", NOW)
    shown = repr(Issued(pair=signer, authorities=signer.certificate, ends_seconds=NOW))
    assert "PRIVATE" not in shown
    assert "CERTIFICATE" in shown


def test_the_operator_shows_what_was_issued_last_and_nothing_before(tmp_path: Path, now: float) -> None:
    ours = authority("ours", now)
    server = context(ssl.PROTOCOL_TLS_SERVER, certificate(ours, now), ours, tmp_path)
    identity = IssuedIdentity()
    with pytest.raises(OSError, match="no certificate yet"):
        request_options(identity, HOST)
    pair = certificate(ours, now, "operator.system.svc", Usage.CLIENT)
    identity.take(Issued(pair=pair, authorities=ours.certificate, ends_seconds=now + HOUR))
    options = request_options(identity, HOST)
    assert options["server_hostname"] == HOST
    shake(server, options["ssl"])
    assert request_options(NoIdentity(), "") == {"ssl": False}


def test_mounted_files_are_read_again_when_they_change(tmp_path: Path, now: float) -> None:
    identity = MountedIdentity(str(tmp_path))
    with pytest.raises(FileNotFoundError):
        identity.context()
    for name in ("first", "second"):
        ours = authority(name, now)
        pair = certificate(ours, now, "operator.system.svc", Usage.CLIENT)
        for file, content in (
            ("tls.crt", pair.certificate),
            ("tls.key", pair.key),
            ("ca.crt", ours.certificate),
        ):
            (tmp_path / "new").write_bytes(content)
            (tmp_path / "new").replace(tmp_path / file)
        server = context(ssl.PROTOCOL_TLS_SERVER, certificate(ours, now), ours, tmp_path)
        shown = identity.context()
        assert shown is not None
        shake(server, shown)
        assert identity.context() is shown, "what has not changed is not read again"
