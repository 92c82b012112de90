"""Routes of the live page, where it is switched on: its files by Envoy itself, the figures by the activator, streams by the models.

They come behind the header that names a model and before the only model that there is, in the virtual host of calls whose authority names
none: whoever names a model has all of its paths. Called by xds/routes.py.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from envoy.extensions.filters.http.lua.v3 import lua_pb2

from atheria_gateway.core.model import ModelKey
from atheria_gateway.xds.api_keys import FILTER_NAME
from atheria_gateway.xds.cluster_names import LIVE_CLUSTER, PATH_FLEET, PATH_LIVE, PATH_LIVE_MODELS
from atheria_gateway.xds.live_guard import bound_figures, guard_stream
from atheria_gateway.xds.model_route import Weights, answer_header, lead_to_model

PAGE_DIRECTORY: Final = Path(__file__).parents[1] / "live_page"
INDEX: Final = "index.html"
LARGEST_FILE_BYTES: Final = 1024 * 1024
FIGURES_TIMEOUT_S: Final = 5
_TAG_DIGITS: Final = 32
CONTENT_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
    ".txt": "text/plain; charset=utf-8",
}
"""By the end of a file's name; files with other ends are not served."""
CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; font-src 'self'; "
    "worker-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
SECURITY_HEADERS: Final = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PageFile:
    """A file that Envoy serves."""

    path: str
    """Behind `/live/`; empty for the page itself."""
    file: str
    """Where it lies for Envoy, which runs on the same image as the activator."""
    content_type: str
    etag: str
    """Of its content, so that all gateways of a release agree: the times of an image's files say nothing, hence no `last-modified`."""


def page_files(directory: Path = PAGE_DIRECTORY) -> tuple[PageFile, ...]:
    """The page and all that it links to, in order. ValueError for a file that Envoy would not take."""
    found = []
    for file in sorted(directory.rglob("*")):
        content_type = CONTENT_TYPES.get(file.suffix)
        if content_type is None or not file.is_file():
            continue
        size_bytes = file.stat().st_size
        if not 0 < size_bytes <= LARGEST_FILE_BYTES:
            raise ValueError(
                f"{file} has {size_bytes} bytes, allowed are 1 to {LARGEST_FILE_BYTES}: make it smaller, or leave it out"
            )
        path = file.relative_to(directory).as_posix()
        digest = hashlib.sha256(file.read_bytes()).hexdigest()[:_TAG_DIGITS]
        found.append(
            PageFile(
                path="" if path == INDEX else path,
                file=str(file),
                content_type=content_type,
                etag=f'"{digest}"',
            )
        )
    return tuple(found)


def add_live_page(
    host: Any,
    models: Sequence[ModelKey],
    weights: Weights,
    files: Sequence[PageFile],
    *,
    has_api_keys: bool,
) -> None:
    """Add the routes to a virtual host; the figures and the streams want a key where others do."""
    _open(_redirect(host), has_api_keys=has_api_keys)
    for file in files:
        for is_known in (True, False):
            _open(_file(host, file, is_known=is_known), has_api_keys=has_api_keys)
    figures = host.routes.add()
    figures.match.path = PATH_FLEET
    figures.route.cluster = LIVE_CLUSTER
    figures.route.timeout.FromSeconds(FIGURES_TIMEOUT_S)
    answer_header(figures, "cache-control", "no-store")
    _secure(figures)
    bound_figures(figures)
    for model in models:
        _stream(host, model, weights)
    _nothing_else(host)


def _file(host: Any, file: PageFile, *, is_known: bool) -> Any:
    """The file itself, or before it the short answer to a browser that shows the file's tag (RFC 9110, section 13.1.2)."""
    route = host.routes.add()
    route.match.path = f"{PATH_LIVE}{file.path}"
    if is_known:
        route.match.headers.add(name=":method").string_match.safe_regex.regex = "GET|HEAD"
        known = route.match.headers.add(name="if-none-match")
        known.string_match.safe_regex.regex = rf"\*|(.*[, /])?{file.etag}.*"
        route.direct_response.status = 304
    else:
        route.direct_response.status = 200
        route.direct_response.body.filename = file.file
        answer_header(route, "content-type", file.content_type)
    answer_header(route, "etag", file.etag)
    # The names stay when the contents change, and parts of two releases do not fit: each use is asked for, and answered by 304.
    answer_header(route, "cache-control", "no-cache")
    return route


def _redirect(host: Any) -> Any:
    """Relative, since only the browser knows by which scheme, host and path it came."""
    route = host.routes.add()
    route.match.path = PATH_LIVE.rstrip("/")
    route.direct_response.status = 308
    answer_header(route, "location", PATH_LIVE.strip("/") + "/")
    return route


def _stream(host: Any, model: ModelKey, weights: Weights) -> None:
    route = host.routes.add()
    route.match.path = f"{PATH_LIVE_MODELS}{model}/stream"
    upgrade = route.match.headers.add(name="upgrade").string_match
    upgrade.exact = "websocket"
    upgrade.ignore_case = True
    lead_to_model(route, model, weights, http=True)
    route.route.prefix_rewrite = f"/v2/models/{model.name}/stream"
    guard_stream(route)


def _nothing_else(host: Any) -> None:
    """What a model would answer under these paths must not be mistaken for the page."""
    route = host.routes.add()
    route.match.prefix = PATH_LIVE
    route.direct_response.status = 404
    route.direct_response.body.inline_string = json.dumps(
        {"error": "the live page has no such file, and the cluster no such model with a stream"}
    )
    answer_header(route, "content-type", "application/json")
    _secure(route)


def _open(route: Any, *, has_api_keys: bool) -> None:
    """Without a key: the page, which holds nothing, has to be there to ask for one."""
    _secure(route)
    if has_api_keys:
        route.typed_per_filter_config[FILTER_NAME].Pack(lua_pb2.LuaPerRoute(disabled=True))


def _secure(route: Any) -> None:
    for key, value in SECURITY_HEADERS.items():
        answer_header(route, key, value)
