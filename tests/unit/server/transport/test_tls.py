"""Certificates from files that change: what is served, what is refused, and what the refusal says."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from atheria_local.pki import Authority
from atheria_server.core.errors import StartError
from atheria_server.transport.tls import (
    CHECK_SECONDS,
    ENV_CERT,
    ENV_CLIENT_CA,
    ENV_KEY,
    Certificates,
    TlsFiles,
    http_context,
    tls_files,
)


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def files(authority: Authority, tmp_path: Path) -> TlsFiles:
    made = TlsFiles(certificate=tmp_path / "tls.crt", key=tmp_path / "tls.key", client_ca=tmp_path / "ca.crt")
    put(authority, "one", made)
    return made


def put(authority: Authority, name: str, files: TlsFiles) -> None:
    issued = authority.issue(name, names=["DNS:localhost"])
    files.certificate.write_bytes(issued.certificate.read_bytes())
    files.key.write_bytes(issued.key.read_bytes())
    assert files.client_ca is not None
    files.client_ca.write_bytes(authority.certificate.read_bytes())


def openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


def test_the_environment_names_the_files_or_none() -> None:
    assert tls_files({}) is None
    assert tls_files({ENV_CERT: "", ENV_KEY: ""}) is None
    assert tls_files({ENV_CERT: "/c", ENV_KEY: "/k"}) == TlsFiles(
        certificate=Path("/c"), key=Path("/k"), client_ca=None
    )
    found = tls_files({ENV_CERT: "/c", ENV_KEY: "/k", ENV_CLIENT_CA: "/a"})
    assert found is not None
    assert found.client_ca == Path("/a")


@pytest.mark.parametrize(
    ("present", "missing"), [(ENV_CERT, ENV_KEY), (ENV_KEY, ENV_CERT), (ENV_CLIENT_CA, ENV_CERT)]
)
def test_half_of_the_files_is_refused_with_what_lacks(present: str, missing: str) -> None:
    with pytest.raises(StartError, match=f"{present} is set and {missing} is not: .*; set both, or none"):
        tls_files({present: "/x"})


def test_changed_files_count_after_the_next_check_and_not_before(
    authority: Authority, files: TlsFiles
) -> None:
    clock = Clock()
    certificates = Certificates(files, clock)
    first = certificates.current()
    put(authority, "two", files)
    clock.now += CHECK_SECONDS / 2
    assert certificates.current() is first
    clock.now += CHECK_SECONDS / 2
    second = certificates.current()
    assert second.certificate == files.certificate.read_bytes() != first.certificate
    clock.now += CHECK_SECONDS
    assert certificates.current() is second, "files that did not change were read again"


def test_files_that_go_bad_keep_what_was_good_until_they_are_good_again(
    authority: Authority, files: TlsFiles, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    certificates = Certificates(files, clock)
    first = certificates.current()
    caplog.clear()
    files.key.unlink()
    for _ in range(3):
        clock.now += CHECK_SECONDS
        assert certificates.current() is first
    complaints = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert len(complaints) == 1
    assert f"{ENV_KEY}: {files.key} cannot be read: No such file" in complaints[0]
    put(authority, "two", files)
    clock.now += CHECK_SECONDS
    assert certificates.current().key == files.key.read_bytes()


def test_the_key_is_never_shown(files: TlsFiles) -> None:
    assert "PRIVATE" not in repr(Certificates(files, Clock()).current())


def _other_key(authority: Authority, files: TlsFiles) -> None:
    files.key.write_bytes(authority.issue("other").key.read_bytes())


def _locked_key(_: Authority, files: TlsFiles) -> None:
    openssl(
        "ec", "-in", str(files.key), "-aes256", "-passout", "pass:secret", "-out", str(files.key) + ".locked"
    )
    files.key.write_bytes(Path(str(files.key) + ".locked").read_bytes())


def _no_certificate(_: Authority, files: TlsFiles) -> None:
    files.certificate.write_text("-----BEGIN CERTIFICATE-----\nc2VjcmV0\n-----END CERTIFICATE-----\n")


def _no_pem(_: Authority, files: TlsFiles) -> None:
    files.certificate.write_bytes(b"\x30\x82")


def _no_authority(_: Authority, files: TlsFiles) -> None:
    assert files.client_ca is not None
    files.client_ca.write_bytes(files.key.read_bytes())


def _expired(_: Authority, files: TlsFiles) -> None:
    request = str(files.certificate) + ".csr"
    openssl("req", "-new", "-key", str(files.key), "-subj", "/CN=x", "-out", request)
    openssl("x509", "-req", "-in", request, "-signkey", str(files.key), "-days", "0", "-out", str(files.certificate))  # fmt: skip


def _for_clients(_: Authority, files: TlsFiles) -> None:
    openssl("req", "-x509", "-key", str(files.key), "-subj", "/CN=x", "-days", "2", "-addext", "extendedKeyUsage=clientAuth", "-out", str(files.certificate))  # fmt: skip


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_other_key, (ENV_KEY, "tls.key is not the key of", "tls.crt", "made together")),
        (_locked_key, (ENV_KEY, "tls.key", "unencrypted key in PEM form")),
        (_no_certificate, (ENV_CERT, "tls.crt holds no certificate", "-----BEGIN CERTIFICATE-----")),
        (_no_pem, (ENV_CERT, "tls.crt holds no certificate", "-----BEGIN CERTIFICATE-----")),
        (_no_authority, (ENV_CLIENT_CA, "ca.crt holds no certificate", "authority that signs")),
        (_expired, (ENV_CERT, "tls.crt", "it has expired; renew it")),
        (_for_clients, (ENV_CERT, "tls.crt", "purpose", "make one for a TLS server")),
    ],
)
def test_files_that_cannot_serve_are_refused_with_variable_file_and_advice(
    authority: Authority,
    files: TlsFiles,
    spoil: Callable[[Authority, TlsFiles], None],
    words: tuple[str, ...],
) -> None:
    spoil(authority, files)
    with pytest.raises(StartError) as refused:
        Certificates(files, Clock())
    for word in words:
        assert word in str(refused.value)
    assert "secret" not in str(refused.value)


def test_the_expiry_is_that_of_the_certificate(files: TlsFiles) -> None:
    shown = subprocess.run(
        ["openssl", "x509", "-in", str(files.certificate), "-noout", "-enddate"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    expected = ssl.cert_time_to_seconds(shown.strip().removeprefix("notAfter="))
    assert Certificates(files, Clock()).expires_at_seconds() == expected


def test_an_authority_that_is_taken_back_is_forgotten_by_new_connections(
    authority: Authority, files: TlsFiles, tmp_path: Path
) -> None:
    clock = Clock()
    certificates = Certificates(files, clock)
    context = http_context(certificates)
    client = ssl.create_default_context(cafile=str(authority.certificate))
    issued = authority.issue("client")
    client.load_cert_chain(issued.certificate, issued.key)
    assert handshake(client, context) is not None
    assert files.client_ca is not None
    files.client_ca.write_bytes(Authority(tmp_path / "other").certificate.read_bytes())
    clock.now += CHECK_SECONDS
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(client, context)


def handshake(client: ssl.SSLContext, server: ssl.SSLContext) -> object:
    """What the server knows of the client's certificate."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(down, up, server_hostname="localhost"),
        server.wrap_bio(up, down, server_side=True),
    ]
    served = ends[1]
    while ends:
        for end in list(ends):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            ends.remove(end)
    return served.getpeercert()
