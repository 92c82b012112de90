"""How the operator shows model pods who it is, and knows them: the TLS context of its own requests to pods.

Its certificate comes from its own authority, in memory, or from files that cert-manager writes.
"""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import Any, Protocol

from atheria_contract import names
from atheria_operator.domain.certificates.stored import Issued

_Stamp = tuple[tuple[int, int], ...]


class PodIdentity(Protocol):
    """Asked for each request."""

    def context(self) -> ssl.SSLContext | None:
        """With the newest certificate; None while there is none. OSError where it cannot be used."""


class NoIdentity:
    """Pods speak plain text, or by certificates of their own, which nobody knows."""

    def context(self) -> None:
        """Never one."""


class IssuedIdentity:
    """Of what `runtime.own_authority` has issued."""

    def __init__(self) -> None:
        """There is none yet."""
        self._context: ssl.SSLContext | None = None

    def take(self, issued: Issued) -> None:
        """From now on this one is shown."""
        context = ssl.create_default_context(cadata=issued.authorities.decode("ascii"))
        # OpenSSL reads keys from files only: one in memory, which nobody else sees and which is gone when it is closed.
        file = os.memfd_create("certificate", os.MFD_CLOEXEC)
        try:
            os.write(file, issued.pair.certificate + issued.pair.key)
            context.load_cert_chain(f"/proc/self/fd/{file}")
        finally:
            os.close(file)
        self._context = context

    def context(self) -> ssl.SSLContext | None:
        """The newest."""
        return self._context


class MountedIdentity:
    """Of a folder with the files of a Secret, which may change."""

    def __init__(self, directory: str) -> None:
        """Nothing is read yet."""
        self._files = tuple(
            Path(directory) / name for name in (names.TLS_CERT_FILE, names.TLS_KEY_FILE, names.TLS_CA_FILE)
        )
        self._seen: _Stamp = ()
        self._context: ssl.SSLContext | None = None

    def context(self) -> ssl.SSLContext | None:
        """Of the files as they are now. OSError where they cannot be used."""
        stamp = tuple((status.st_mtime_ns, status.st_ino) for status in (file.stat() for file in self._files))
        if stamp != self._seen or self._context is None:
            certificate, key, authority = self._files
            context = ssl.create_default_context(cafile=authority)
            context.load_cert_chain(certificate, key)
            self._seen, self._context = stamp, context
        return self._context


def request_options(identity: PodIdentity, host: str) -> dict[str, Any]:
    """Arguments of aiohttp for a request to a pod that must show a certificate for `host`. OSError while the operator has none itself.

    An empty `host` is a pod that speaks plain text or has a certificate of its own, which is not verified, as the kubelet's probes
    do not.
    """
    if not host:
        return {"ssl": False}
    context = identity.context()
    if context is None:
        raise OSError("the operator has no certificate yet to show to pods")
    return {"ssl": context, "server_hostname": host}
