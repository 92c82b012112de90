"""What stands before the live page's streams and figures: pages of other origins are refused, and so are too many questions.

Browsers let every page open a WebSocket anywhere and send along what proves the user (an address, a client certificate), so a stream
is opened only for the page that came from the same host and port. They also let no page set a header on a WebSocket: a key comes as
one of the names of protocols that the page offers, which the pod never sees. Filters by `live_filters`, used by the routes of xds/live_page.py.
"""

from __future__ import annotations

import json
from typing import Any, Final

from envoy.config.core.v3 import base_pb2
from envoy.extensions.filters.http.local_ratelimit.v3 import local_rate_limit_pb2
from envoy.extensions.filters.http.lua.v3 import lua_pb2

_TYPE: Final = "type.googleapis.com/envoy.extensions.filters.http."
STREAM_FILTER: Final = "atheria.live.stream"
FIGURES_FILTER: Final = "atheria.live.figures"
PROTOCOL: Final = "atheria.live"
"""The protocol that a stream's answer names, where it was offered."""
KEY_PROTOCOL: Final = "atheria.live.key."
"""Before the key in base64url without padding, among the offered protocols."""
FIGURES_PER_S: Final = 100
"""Of one gateway pod, for all pages: making one costs the activator 0.2 ms."""
OTHER_ORIGIN: Final = (
    "a page of another origin asks for this stream: open the page at the gateway's own address, and let proxies before it keep the "
    "header Host"
)
_STREAM: Final = "stream"

_SCRIPT: Final = r"""
function envoy_on_request(handle)
  local headers = handle:headers()
  local origin = headers:get("origin")
  if origin ~= nil then
    local host = (headers:get(":authority") or ""):lower()
    origin = origin:lower()
    if origin ~= "http://" .. host and origin ~= "https://" .. host then
      handle:respond({[":status"] = "403", ["content-type"] = "application/json"}, OTHER_ORIGIN_JSON)
      return
    end
  end
  for name in (headers:get("sec-websocket-protocol") or ""):gmatch("[^%s,]+") do
    if name == PROTOCOL then
      handle:streamInfo():dynamicMetadata():set(STREAM_FILTER, "is_offered", true)
    end
  end
  headers:remove("sec-websocket-protocol")
end

function envoy_on_response(handle)
  local known = handle:streamInfo():dynamicMetadata():get(STREAM_FILTER)
  if known ~= nil and known["is_offered"] and handle:headers():get(":status") == "101" then
    handle:headers():replace("sec-websocket-protocol", PROTOCOL)
  end
end
"""


def live_filters() -> list[dict[str, Any]]:
    """HTTP filters of a data listener, which only the routes of the page have."""
    constants = {
        "OTHER_ORIGIN_JSON": json.dumps(json.dumps({"error": OTHER_ORIGIN})),
        "PROTOCOL": json.dumps(PROTOCOL),
        "STREAM_FILTER": json.dumps(STREAM_FILTER),
    }
    head = "".join(f"local {name} = {value}\n" for name, value in constants.items())
    return [
        {
            "name": STREAM_FILTER,
            "disabled": True,
            "typed_config": {
                "@type": _TYPE + "lua.v3.Lua",
                "source_codes": {_STREAM: {"inline_string": head + _SCRIPT}},
            },
        },
        {
            "name": FIGURES_FILTER,
            "disabled": True,
            "typed_config": {
                "@type": _TYPE + "local_ratelimit.v3.LocalRateLimit",
                "stat_prefix": "live_figures",
            },
        },
    ]


def guard_stream(route: Any) -> None:
    """Let only the gateway's own page, and callers that are no pages, open this route's WebSockets."""
    route.typed_per_filter_config[STREAM_FILTER].Pack(lua_pb2.LuaPerRoute(name=_STREAM))


def bound_figures(route: Any) -> None:
    """Answer 429 to more than FIGURES_PER_S questions a second."""
    limit = local_rate_limit_pb2.LocalRateLimit(stat_prefix="live_figures")
    limit.token_bucket.max_tokens = FIGURES_PER_S
    limit.token_bucket.tokens_per_fill.value = FIGURES_PER_S
    limit.token_bucket.fill_interval.FromSeconds(1)
    for part in (limit.filter_enabled, limit.filter_enforced):
        part.default_value.numerator = 100
    limit.response_headers_to_add.add(header=base_pb2.HeaderValue(key="retry-after", value="1"))
    route.typed_per_filter_config[FIGURES_FILTER].Pack(limit)
