"""Everything about who may call and how it is encrypted, as the environment asks for it; read once at start by `app`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from starlette.applications import Starlette

from atheria_server.core.caller_limits import caller_concurrency
from atheria_server.transport.access import ENV_KEYS, ApiKeys, GrpcAccess, HttpAccess, Refused
from atheria_server.transport.tls import (
    Certificates,
    HttpConnection,
    grpc_credentials,
    http_context,
    tls_files,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Security:
    """What both listeners need."""

    keys: ApiKeys | None
    certificates: Certificates | None
    caller_concurrency: int
    """Calls that one caller may have in flight; 0 = no limit."""

    @property
    def tells_callers_apart(self) -> bool:
        """Whether calls have a caller's name; without need they are spared the work."""
        return bool(self.keys or self._wants_certificate or self.caller_concurrency)

    def grpc_credentials(self) -> grpc.ServerCredentials | None:
        """None = not encrypted."""
        return grpc_credentials(self.certificates) if self.certificates else None

    def grpc_interceptors(self, refused: Refused) -> list[GrpcAccess]:
        """`refused` hears the reason of each refusal."""
        return [GrpcAccess(self.keys, refused)] if self.tells_callers_apart else []

    def guard(self, app: Starlette, refused: Refused) -> None:
        """The same for the HTTP application."""
        if self.tells_callers_apart:
            app.add_middleware(
                HttpAccess, keys=self.keys, wants_certificate=self._wants_certificate, refused=refused
            )

    def uvicorn_options(self) -> dict[str, Any]:
        """For uvicorn.Config."""
        certificates = self.certificates
        if certificates is None:
            return {}
        return {"ssl_context_factory": lambda *_: http_context(certificates), "http": HttpConnection}

    @property
    def _wants_certificate(self) -> bool:
        return self.certificates is not None and self.certificates.wants_clients


def read_security(environment: Mapping[str, str], clock: Callable[[], float]) -> Security:
    """`clock` counts seconds. Raises StartError for a variable or a file that cannot be used."""
    keys = environment.get(ENV_KEYS, "")
    files = tls_files(environment)
    return Security(
        keys=ApiKeys(Path(keys), clock) if keys else None,
        certificates=Certificates(files, clock) if files else None,
        caller_concurrency=caller_concurrency(environment),
    )
