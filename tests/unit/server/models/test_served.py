"""What a module's object is, what of a user's LitServer is taken over, and how batches are limited."""

from __future__ import annotations

from typing import Any

import litserve
import pytest
from starlette.middleware.cors import CORSMiddleware

from atheria_server.models.served import Served, SourceError, built, check_served, chosen, limit_batches


class Api(litserve.LitAPI):
    def predict(self, x: Any) -> Any:
        return x


def server(*apis: Any, **options: Any) -> Any:
    return litserve.LitServer(list(apis) or [Api()], accelerator="cpu", **options)


def test_a_litapi_a_list_and_a_litserver_are_known_and_nothing_else() -> None:
    one, two = Api(api_path="/a"), Api(api_path="/b")
    found = [built(value) for value in (one, [one, two], (one,), server(one, two))]
    assert [len(served.apis) if served else 0 for served in found] == [1, 2, 1, 2]
    assert [built(value) for value in ([], [one, 3], "text", Api)] == [None] * 4


def test_one_of_several_is_chosen_by_its_path() -> None:
    apis = (Api(api_path="/a"), Api(api_path="/b"))
    assert chosen("s", apis, "/b") == (apis[1],)
    with pytest.raises(SourceError, match="'/c'; allowed: /a, /b"):
        chosen("s", apis, "/c")


def test_routes_and_middlewares_of_the_user_are_taken_and_litserves_own_are_not() -> None:
    with_cors = server(middlewares=[(CORSMiddleware, {"allow_origins": ["*"]})])

    @with_cors.app.get("/extra")
    async def extra() -> None:
        """A route of the user."""

    served = Served(apis=tuple(with_cors.litapi_connector), server=with_cors)
    assert [route.path for route in served.routes] == ["/extra"]
    assert [middleware.cls for middleware in served.middlewares] == [CORSMiddleware]
    assert Served(apis=(Api(),)).routes == Served(apis=(Api(),)).middlewares == []


def test_batches_are_limited_and_every_change_is_said() -> None:
    many = Served(apis=(Api(max_batch_size=16, api_path="/a"), Api(api_path="/b")), server=None)
    (line,) = limit_batches(many, 8)
    assert "litapi=Api wanted=16 limit=8" in line
    assert many.max_batch_size == 8
    fast = server(fast_queue=True)
    (line,) = limit_batches(Served(apis=tuple(fast.litapi_connector), server=fast), 8)
    assert "setting=fast_queue" in line


def test_the_shortest_wait_that_anybody_asks_for_counts() -> None:
    assert Served(apis=(Api(),)).batch_timeout_seconds is None
    apis = (Api(), Api(batch_timeout=0.5, api_path="/b"), Api(batch_timeout=0.1, api_path="/c"))
    assert Served(apis=apis).batch_timeout_seconds == 0.1


def test_a_spec_has_its_endpoints_once_however_often_it_was_prepared() -> None:
    spec = litserve.OpenAIEmbeddingSpec()
    api = Api(spec=spec)
    served = built(server(api))
    assert served is not None
    check_served("s", served)
    api.pre_setup()
    assert [path for path, _, _ in spec.endpoints] == ["/v1/embeddings"] * 2


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (Api(api_path="/metrics"), "belong to this server"),
        ([Api(), Api()], "its own"),
        (type("Odd", (Api,), {"oip_tensors": "tf"})(), "oip_tensors='tf'; allowed: numpy, torch"),
    ],
)
def test_what_cannot_be_served_is_refused_by_name(value: Any, words: str) -> None:
    served = built(value)
    assert served is not None
    with pytest.raises(SourceError, match=words):
        check_served("s", served)
