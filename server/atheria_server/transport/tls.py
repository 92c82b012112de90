"""TLS for gRPC and HTTP with files that may change while the server runs: new connections get what the files say now.

`app` makes one `Certificates` and gives it to both listeners. Each handshake asks it for the current pair, so an idle
server does nothing and a renewed certificate needs no signal. Connections that are open keep what they began with.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

import grpc
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from atheria_contract import names
from atheria_server.core.errors import StartError

_LOG = logging.getLogger("atheria.tls")
ENV_CERT: Final = names.ENV_TLS_CERT_FILE
ENV_KEY: Final = names.ENV_TLS_KEY_FILE
ENV_CLIENT_CA: Final = names.ENV_TLS_CLIENT_CA_FILE
CHECK_SECONDS: Final = 1.0
"""A changed file counts after so long at most."""
PEER_STATE: Final = "client_certificate"
"""Key of the ASGI scope's `state`: the verified certificate of the connection's client, or None."""
_NOT_YET_VALID: Final = 9
_EXPIRED: Final = 10
_START_TRIES: Final = 3
_Stamp = tuple[object, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """PEM files; the certificate's may hold its chain."""

    certificate: Path
    key: Path
    client_ca: Path | None
    """Whom client certificates must come from; None = clients need none."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Identity:
    """What the files said when they were read."""

    certificate: bytes
    key: bytes = field(repr=False)
    client_ca: bytes | None
    context: ssl.SSLContext
    expires_at_seconds: float
    """Of the certificate; since the epoch."""


class TlsError(Exception):
    """The files cannot be used together; the message names variable, file, and what to do, and never a secret."""


def tls_files(environment: Mapping[str, str]) -> TlsFiles | None:
    """What the environment says; None = no TLS. Raises StartError."""
    certificate, key, ca = (environment.get(name, "") for name in (ENV_CERT, ENV_KEY, ENV_CLIENT_CA))
    if not (certificate or key or ca):
        return None
    for name, text in ((ENV_CERT, certificate), (ENV_KEY, key)):
        if not text:
            present = next(n for n in (ENV_CERT, ENV_KEY, ENV_CLIENT_CA) if environment.get(n))
            raise StartError(
                f"{present} is set and {name} is not: TLS needs {ENV_CERT} and {ENV_KEY}; set both, or none of the "
                f"variables ATHERIA_TLS_*"
            )
    return TlsFiles(certificate=Path(certificate), key=Path(key), client_ca=Path(ca) if ca else None)


class Certificates:
    """The files as they are now; used by the event loop and by grpc's threads."""

    def __init__(self, files: TlsFiles, clock: Callable[[], float]) -> None:
        """Raises StartError if the files cannot be used."""
        self.files = files
        self._clock = clock
        self._lock = threading.Lock()
        self._checked_at = clock()
        self._failed: _Stamp = ()
        try:
            found = next(filter(None, (_read_unchanged(files) for _ in range(_START_TRIES))), None)
        except TlsError as error:
            raise StartError(str(error)) from error
        if found is None:
            raise StartError(
                f"{ENV_CERT}: {files.certificate} and its key change all the time; try again later"
            )
        self._seen, self._identity = found
        _log_read(self._identity)

    @property
    def wants_clients(self) -> bool:
        """Whether clients need a certificate."""
        return self.files.client_ca is not None

    def current(self) -> Identity:
        """What new connections get. Files that cannot be used keep what was good, and that is logged."""
        with self._lock:
            now = self._clock()
            if now - self._checked_at >= CHECK_SECONDS:
                self._checked_at = now
                self._refresh()
            return self._identity

    def expires_at_seconds(self) -> float:
        """Of the current certificate, since the epoch; for the metrics."""
        return self.current().expires_at_seconds

    def _refresh(self) -> None:
        stamp = _stamp(self.files)
        if stamp == self._seen:
            return
        try:
            found = _read_unchanged(self.files)
        except TlsError as error:
            if stamp != self._failed:
                self._failed = stamp
                _LOG.error("event=certificate_unusable serving=the_one_before reason=%r", str(error))
            return
        if found is not None:
            self._seen, self._identity = found
            _log_read(self._identity)


def grpc_credentials(certificates: Certificates) -> grpc.ServerCredentials:
    """For a secure port: asked at each handshake. Clients need a certificate for every call if there is a client CA."""
    given = certificates.current()

    def fetch() -> Any:
        nonlocal given
        now = certificates.current()
        if now is given:
            return None
        given = now
        return _grpc_configuration(now)

    return grpc.dynamic_ssl_server_credentials(
        _grpc_configuration(given), fetch, require_client_authentication=certificates.wants_clients
    )


def http_context(certificates: Certificates) -> ssl.SSLContext:
    """For `asyncio.loop.create_server`: each connection is wrapped by the current identity's context."""
    context = _CurrentContext(ssl.PROTOCOL_TLS_SERVER)
    context.certificates = certificates
    return context


class _CurrentContext(ssl.SSLContext):
    """A context cannot forget a client CA, so each change has a new one; the listener needs one object all the time."""

    certificates: Certificates

    def wrap_bio(self, *arguments: Any, **options: Any) -> ssl.SSLObject:
        """What asyncio calls for each connection."""
        return self.certificates.current().context.wrap_bio(*arguments, **options)


class HttpConnection(HttpToolsProtocol):
    """uvicorn's connection, which also tells the application who the client is; WebSockets inherit the state."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """After the handshake."""
        super().connection_made(transport)
        self.app_state = {**self.app_state, PEER_STATE: transport.get_extra_info("peercert")}


def _grpc_configuration(identity: Identity) -> Any:
    return grpc.ssl_server_certificate_configuration(
        [(identity.key, identity.certificate)], root_certificates=identity.client_ca
    )


def _stamp(files: TlsFiles) -> _Stamp:
    """Changes with the files; one that cannot be asked has its error as stamp."""
    stamps: list[object] = []
    for path in (files.certificate, files.key, files.client_ca):
        try:
            status = path.stat() if path else None
        except OSError as error:
            stamps.append(error.errno)
            continue
        stamps.append(status and (status.st_mtime_ns, status.st_ino, status.st_size))
    return tuple(stamps)


def _read_unchanged(files: TlsFiles) -> tuple[_Stamp, Identity] | None:
    """With the stamp that belongs to it; None = the files changed meanwhile, ask again. Raises TlsError."""
    stamp = _stamp(files)
    try:
        identity = _read(files)
    except TlsError:
        if _stamp(files) != stamp:
            return None
        raise
    return (stamp, identity) if _stamp(files) == stamp else None


def _read(files: TlsFiles) -> Identity:
    """Raises TlsError."""
    certificate = _bytes(ENV_CERT, files.certificate)
    key = _bytes(ENV_KEY, files.key)
    client_ca = None if files.client_ca is None else _bytes(ENV_CLIENT_CA, files.client_ca)
    client = _client_of(files.certificate, certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(files.certificate, files.key, _no_password)
    except (ssl.SSLError, OSError) as error:
        if getattr(error, "reason", "") == "KEY_VALUES_MISMATCH":
            raise TlsError(
                f"{ENV_KEY}: {files.key} is not the key of {files.certificate} ({ENV_CERT}); give the pair that "
                "was made together"
            ) from error
        raise TlsError(
            f"{ENV_KEY}: {files.key} is not a private key that can be used with {files.certificate}; expected an "
            "unencrypted key in PEM form, `-----BEGIN PRIVATE KEY-----`"
        ) from error
    if client_ca is not None:
        _trust_clients(context, files.client_ca, client_ca)
    return Identity(
        certificate=certificate,
        key=key,
        client_ca=client_ca,
        context=context,
        expires_at_seconds=_greet(files.certificate, client, context),
    )


def _bytes(variable: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise TlsError(
            f"{variable}: {path} cannot be read: {error.strerror}; mount the file, or correct the variable"
        ) from error


def _client_of(path: Path, certificate: bytes) -> ssl.SSLContext:
    """For a client that trusts the first certificate of the file and nothing else. Raises TlsError."""
    begin, end = b"-----BEGIN CERTIFICATE-----", b"-----END CERTIFICATE-----"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        start = certificate.index(begin)
        leaf = certificate[start : certificate.index(end, start) + len(end)].decode("ascii")
        context.load_verify_locations(cadata=leaf)
    except (ssl.SSLError, ValueError) as error:
        raise TlsError(
            f"{ENV_CERT}: {path} holds no certificate in PEM form; expected `-----BEGIN CERTIFICATE-----`, the "
            "server's own first, then its chain"
        ) from error
    return context


def _trust_clients(context: ssl.SSLContext, path: Path | None, client_ca: bytes) -> None:
    try:
        context.load_verify_locations(cadata=client_ca.decode("ascii"))
    except (ssl.SSLError, ValueError) as error:
        raise TlsError(
            f"{ENV_CLIENT_CA}: {path} holds no certificate in PEM form; expected that of the authority that signs "
            "the clients' certificates"
        ) from error
    # Not required by the handshake: probes have no certificate. `access` wants it for everything but health.
    context.verify_mode = ssl.CERT_OPTIONAL
    # A resumed session would bring a client back in that a changed authority no longer vouches for.
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0


def _greet(path: Path, client: ssl.SSLContext, server: ssl.SSLContext) -> float:
    """Shake hands with ourselves, which proves that the pair serves; gives when the certificate expires. Raises TlsError."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    greeting = client.wrap_bio(to_client, to_server)
    waiting = [greeting, server.wrap_bio(to_server, to_client, server_side=True)]
    try:
        while waiting:
            waiting = [side for side in waiting if not _shaken(side)]
    except ssl.SSLCertVerificationError as error:
        advice = {
            _EXPIRED: "it has expired; renew it",
            _NOT_YET_VALID: "it is not valid yet; is the clock right?",
        }
        told = advice.get(error.verify_code, f"{error.verify_message}; make one for a TLS server")
        raise TlsError(f"{ENV_CERT}: {path} cannot be served: {told}") from error
    except ssl.SSLError as error:
        raise TlsError(
            f"{ENV_CERT}: {path} cannot be served: {error.reason or error}; is it complete?"
        ) from error
    found = cast("dict[str, str]", greeting.getpeercert() or {})
    return float(ssl.cert_time_to_seconds(found["notAfter"]))


def _shaken(side: ssl.SSLObject) -> bool:
    try:
        side.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True


def _no_password() -> str:
    """OpenSSL would ask for one on the terminal."""
    return ""


def _log_read(identity: Identity) -> None:
    _LOG.info(
        "event=certificate_read expires=%s client_certificates=%s",
        time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(identity.expires_at_seconds)),
        "required" if identity.client_ca else "no",
    )
