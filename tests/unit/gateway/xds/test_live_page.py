"""The routes of the live page, the filters before them, and that the page's files keep to its own security policy."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from envoy.extensions.filters.http.local_ratelimit.v3 import local_rate_limit_pb2
from envoy.extensions.filters.http.lua.v3 import lua_pb2

from atheria_gateway.core.model import ModelKey
from atheria_gateway.core.routing import routing_table
from atheria_gateway.xds.api_keys import FILTER_NAME
from atheria_gateway.xds.cluster_names import LIVE_CLUSTER
from atheria_gateway.xds.live_guard import FIGURES_FILTER, FIGURES_PER_S, STREAM_FILTER
from atheria_gateway.xds.live_page import (
    LARGEST_FILE_BYTES,
    PAGE_DIRECTORY,
    SECURITY_HEADERS,
    PageFile,
    page_files,
)
from atheria_gateway.xds.routes import build_route_configuration

QCA = ModelKey(namespace="demo", name="qca")
KERR = ModelKey(namespace="lab", name="qca")
FILES = (
    PageFile(path="", file="/page/index.html", content_type="text/html; charset=utf-8", etag='"a1"'),
    PageFile(path="app.js", file="/page/app.js", content_type="text/javascript; charset=utf-8", etag='"b2"'),
)
PAGES = sorted(PAGE_DIRECTORY.rglob("*.html"))


def _config(*models: ModelKey, **changes: Any) -> Any:
    return build_route_configuration(
        "models", routing_table(models), "secret", **{"live_page": FILES, **changes}
    )


def _live(config: Any) -> dict[str, Any]:
    """Routes of the page by what they match, in order."""
    (host,) = (one for one in config.virtual_hosts if list(one.domains) == ["*"])
    found = {route.match.path or route.match.prefix: route for route in host.routes}
    return {match: route for match, route in found.items() if match.startswith("/live")}


def _headers(route: Any) -> dict[str, str]:
    return {one.header.key: one.header.value for one in route.response_headers_to_add}


def test_there_is_no_route_of_it_unless_it_is_switched_on() -> None:
    config = _config(QCA, live_page=None)
    assert _live(config) == {}
    assert not config.HasField("max_direct_response_body_size_bytes")
    assert "/live" not in str(config)


def test_its_routes_are_files_figures_streams_and_nothing_else_of_that_folder() -> None:
    config = _config(QCA, KERR)
    live = _live(config)
    assert list(live) == [
        "/live",
        "/live/",
        "/live/app.js",
        "/live/fleet.json",
        "/live/models/demo/qca/stream",
        "/live/models/lab/qca/stream",
    ]
    (host,) = (one for one in config.virtual_hosts if list(one.domains) == ["*"])
    routes = list(host.routes)
    paths = [route.match.path or route.match.prefix for route in routes]
    folder = next(index for index, route in enumerate(routes) if route.match.prefix == "/live/")
    assert (routes[folder].direct_response.status, folder) == (404, paths.index("/live/") + 7)
    assert config.max_direct_response_body_size_bytes.value == LARGEST_FILE_BYTES


def test_a_call_that_names_its_model_keeps_all_paths() -> None:
    config = _config(QCA, KERR)
    for host in config.virtual_hosts:
        if list(host.domains) != ["*"]:
            assert "/live" not in str(host)
    (anywhere,) = (one for one in config.virtual_hosts if list(one.domains) == ["*"])
    first = next(index for index, route in enumerate(anywhere.routes) if route.match.path.startswith("/live"))
    named = [
        index
        for index, route in enumerate(anywhere.routes)
        if any(one.name == "atheria-model" for one in route.match.headers)
    ]
    assert max(named) < first


def test_every_answer_of_the_gateways_own_has_the_security_headers() -> None:
    (anywhere,) = (one for one in _config(QCA).virtual_hosts if list(one.domains) == ["*"])
    own = [
        route
        for route in anywhere.routes
        if (route.match.path or route.match.prefix).startswith("/live")
        and route.route.cluster in ("", LIVE_CLUSTER)
    ]
    assert [route.direct_response.status for route in own] == [308, 304, 200, 304, 200, 0, 404]
    for route in own:
        assert SECURITY_HEADERS.items() <= _headers(route).items()
    assert "frame-ancestors 'none'" in SECURITY_HEADERS["content-security-policy"]
    assert "unsafe" not in SECURITY_HEADERS["content-security-policy"]


def test_who_has_a_file_already_is_told_so_before_it_is_sent_again() -> None:
    (anywhere,) = (one for one in _config(QCA, has_api_keys=True).virtual_hosts if list(one.domains) == ["*"])
    known, sent = (route for route in anywhere.routes if route.match.path == "/live/app.js")
    assert (known.direct_response.status, sent.direct_response.status) == (304, 200)
    assert not known.direct_response.HasField("body")
    asked = {one.name: one.string_match.safe_regex.regex for one in known.match.headers}
    assert set(asked) == {":method", "if-none-match"}
    for value, is_known in (
        ('"b2"', True),
        ('W/"b2"', True),
        ('"a1", "b2"', True),
        ('"a1",W/"b2","c3"', True),
        ("*", True),
        ('"a1"', False),
        ('"xb2"', False),
        ("b2", False),
        ("", False),
    ):
        assert bool(re.fullmatch(asked["if-none-match"], value)) is is_known, value
    for route in (known, sent):
        assert _headers(route)["etag"] == '"b2"'
        assert _headers(route)["cache-control"] == "no-cache"
        assert FILTER_NAME in route.typed_per_filter_config


def test_a_files_tag_is_that_of_its_content(tmp_path: Path) -> None:
    page, script = tmp_path / "index.html", tmp_path / "app.js"
    page.write_text("same", encoding="utf-8")
    script.write_text("same", encoding="utf-8")
    first = {one.path: one.etag for one in page_files(tmp_path)}
    assert re.fullmatch(r'"[0-9a-f]{32}"', first[""])
    assert first[""] == first["app.js"]
    script.write_text("other", encoding="utf-8")
    second = {one.path: one.etag for one in page_files(tmp_path)}
    assert second[""] == first[""]
    assert second["app.js"] != first["app.js"]


def test_figures_come_from_the_activator_in_bounded_time_and_number() -> None:
    figures = _live(_config(QCA))["/live/fleet.json"]
    assert figures.route.cluster == LIVE_CLUSTER
    assert 0 < figures.route.timeout.ToSeconds() <= 10
    limit = local_rate_limit_pb2.LocalRateLimit()
    figures.typed_per_filter_config[FIGURES_FILTER].Unpack(limit)
    assert limit.token_bucket.max_tokens == FIGURES_PER_S
    assert limit.filter_enforced.default_value.numerator == 100


def test_a_stream_goes_to_its_model_only_as_a_websocket_and_under_guard() -> None:
    config = _config(QCA, KERR, idempotent=frozenset({KERR}))
    for model in (QCA, KERR):
        route = _live(config)[f"/live/models/{model}/stream"]
        assert route.route.prefix_rewrite == "/v2/models/qca/stream"
        assert route.route.cluster == f"{model}/http"
        assert route.metadata.filter_metadata["atheria"]["model"] == str(model)
        (upgrade,) = route.match.headers
        assert (upgrade.name, upgrade.string_match.exact) == ("upgrade", "websocket")
        guard = lua_pb2.LuaPerRoute()
        route.typed_per_filter_config[STREAM_FILTER].Unpack(guard)
        assert guard.name


def test_with_keys_only_what_says_nothing_is_open() -> None:
    live = _live(_config(QCA, has_api_keys=True))
    is_open = {match: FILTER_NAME in route.typed_per_filter_config for match, route in live.items()}
    # The last of "/live/" is what answers 404.
    assert is_open == {
        "/live": True,
        "/live/": False,
        "/live/app.js": True,
        "/live/fleet.json": False,
        "/live/models/demo/qca/stream": False,
    }


def test_weights_hold_for_streams_as_for_calls() -> None:
    route = _live(_config(QCA, weights={QCA: {"qca-a": 90, "qca-b": 10}}))["/live/models/demo/qca/stream"]
    shares = {one.name: one.weight.value for one in route.route.weighted_clusters.clusters}
    assert shares == {"demo/qca/revision/qca-a/http": 90, "demo/qca/revision/qca-b/http": 10}


def test_files_are_found_by_their_types_and_too_large_or_empty_ones_are_refused(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    for name in ("index.html", "app.js", "parts/view.css", "notes.md", "LICENSE"):
        (tmp_path / name).write_text("x", encoding="utf-8")
    assert {one.path: one.content_type for one in page_files(tmp_path)} == {
        "": "text/html; charset=utf-8",
        "app.js": "text/javascript; charset=utf-8",
        "parts/view.css": "text/css; charset=utf-8",
    }
    (tmp_path / "large.png").write_bytes(b"x" * (LARGEST_FILE_BYTES + 1))
    with pytest.raises(ValueError, match=r"large\.png has 1048577 bytes, allowed are 1 to 1048576"):
        page_files(tmp_path)
    (tmp_path / "large.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"large\.png has 0 bytes"):
        page_files(tmp_path)


class _Forbidden(HTMLParser):
    """What the security policy would keep from running, and links that leave the page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._inline = ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        self._inline = tag if tag == "style" or (tag == "script" and "src" not in given) else ""
        for name, value in attributes:
            if name.startswith("on") or name == "style":
                self.found.append(f"<{tag} {name}>")
            if name in {"src", "href", "action"} and re.match(r"(\w+:)?//|/|javascript:", value or ""):
                self.found.append(f"<{tag} {name}={value}>")

    def handle_data(self, data: str) -> None:
        if self._inline and data.strip():
            self.found.append(f"inline <{self._inline}>")
        self._inline = ""


def _forbidden(html: str) -> list[str]:
    parser = _Forbidden()
    parser.feed(html)
    return parser.found


def test_the_check_of_pages_finds_what_the_policy_forbids() -> None:
    bad = """<script>go()</script><style>p {}</style><p style="x" onclick="go()"><a href="//elsewhere">
    <script src="https://elsewhere/x.js"></script><img src="/logo.png">"""
    assert len(_forbidden(bad)) == 7
    assert _forbidden('<script src="app.js"></script><link href="page.css"><a href="#top">') == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_page_needs_nothing_that_its_policy_forbids(page: Path) -> None:
    assert _forbidden(page.read_text(encoding="utf-8")) == []


def test_the_pages_scripts_make_no_code_from_text() -> None:
    for script in PAGE_DIRECTORY.rglob("*js"):
        text = script.read_text(encoding="utf-8")
        assert not re.search(r"\beval\(|new Function\(|\.innerHTML\s*=|document\.write\(", text), script.name


def test_the_page_is_among_the_files() -> None:
    assert "" in {one.path for one in page_files()}
