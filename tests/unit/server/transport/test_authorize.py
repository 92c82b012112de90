"""A LitAPI's own check, asked about headers alone."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import Depends, Header, HTTPException, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from litserve.server import no_auth

from atheria_server.transport.authorize import Authorization

BEARER = Depends(HTTPBearer())


def bearer(auth: HTTPAuthorizationCredentials = BEARER) -> None:
    if auth.credentials != "good":
        raise HTTPException(403, "not you", {"x-why": "name"})


async def tenant(request: Request, x_tenant: str = Header()) -> None:
    if request.headers["x-tenant"] != x_tenant:
        raise HTTPException(400)


def broken() -> None:
    raise HTTPException(500, "the check failed")


def headers(**values: str) -> list[tuple[bytes, bytes]]:
    return [(name.replace("_", "-").encode(), value.encode()) for name, value in values.items()]


def test_nothing_is_asked_where_everybody_may_call() -> None:
    assert not Authorization([no_auth, no_auth]).needed
    assert Authorization([no_auth, bearer]).needed


@pytest.mark.parametrize(
    ("checks", "given", "status"),
    [
        ([bearer], {"Authorization": "Bearer good"}, None),
        ([bearer], {"authorization": "Bearer bad"}, 403),
        ([bearer], {}, 401),
        ([bearer, tenant], {"authorization": "Bearer good", "x_tenant": "a"}, None),
        ([bearer, tenant], {"authorization": "Bearer good"}, 422),
        ([broken], {}, 500),
    ],
)
async def test_every_check_must_pass(checks: list[Any], given: dict[str, str], status: int | None) -> None:
    refusal = await Authorization(checks).refusal(headers(**given))
    assert (refusal.status_code if refusal else None) == status


async def test_a_refusal_has_the_checks_own_words_and_headers() -> None:
    refusal = await Authorization([bearer]).refusal(headers(authorization="Bearer bad"))
    assert refusal is not None
    assert bytes(refusal.body) == b'{"detail":"not you"}'
    assert refusal.headers["x-why"] == "name"
