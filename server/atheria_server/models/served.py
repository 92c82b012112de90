"""What a source leads to: one LitAPI, or several behind one server, with what their LitServer gave them.

Made by `models.registry` in the front and in every worker. What this server does not do for a LitAPI or a LitServer is
refused here, at start and by name; nothing is left out silently.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import litserve
from litserve.loops.loops import get_default_loop
from starlette.middleware.gzip import GZipMiddleware

from atheria_server.models.contract import TENSOR_LIBRARIES, is_described

API_PATH: Final = "api_path"
"""Request parameter of the protocol that chooses a LitAPI where there are several; `--set api_path=...` serves one."""
_TAKEN: Final = ("/v2", "/metrics", "/docs", "/openapi.json")
_LITSERVE_GZIP: Final = {"minimum_size": 1000}


class SourceError(ValueError):
    """The source does not lead to something that can be served; the message says which part is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """The LitAPIs of one server, at least one."""

    apis: tuple[Any, ...]
    server: Any = None
    """The user's LitServer, if the source names one."""

    @property
    def main(self) -> Any:
        """The one that calls of the protocol reach without the parameter `api_path`."""
        return self.apis[0]

    @property
    def described(self) -> bool:
        """Whether it is one described model."""
        return is_described(self.main)

    @property
    def callbacks(self) -> list[Any]:
        """LitServe callbacks."""
        return list(self.server._callback_runner._callbacks) if self.server else []  # noqa: SLF001

    @property
    def loggers(self) -> list[Any]:
        """LitServe loggers, for `LitAPI.log`."""
        return list(self.server._logger_connector._loggers) if self.server else []  # noqa: SLF001

    @property
    def http_options(self) -> dict[str, Any]:
        """Arguments of the user's LitServer that LitServe's own routes depend on."""
        names = ("timeout", "healthcheck_path", "info_path", "model_metadata", "track_requests")
        return {name: getattr(self.server, name) for name in names} if self.server else {"timeout": False}

    @property
    def middlewares(self) -> list[Any]:
        """The user's own, outermost first; LitServe adds its gzip by itself, and tensors do not compress."""
        return [
            one
            for one in (self.server.app.user_middleware if self.server else ())
            if not (one.cls is GZipMiddleware and one.kwargs == _LITSERVE_GZIP)
        ]

    @property
    def routes(self) -> list[Any]:
        """Routes and mounts that the user (or a logger of theirs) added to the LitServer's application."""
        return [route for route in (self.server.app.routes if self.server else ()) if not _is_own(route)]

    @property
    def max_batch_size(self) -> int | None:
        """The most calls that one of the LitAPIs computes together; None where this is not LitServe's to say."""
        if self.described:
            return None
        return max(int(api.max_batch_size) for api in self.apis)

    @property
    def runs_async(self) -> bool:
        """Whether a LitAPI computes its calls side by side in an event loop."""
        return not self.described and any(api.enable_async for api in self.apis)

    @property
    def batch_timeout_seconds(self) -> float | None:
        """The shortest wait for a fuller batch that a LitAPI asks for; None = none asks."""
        return min((api.batch_timeout for api in self.apis if api.batch_timeout > 0), default=None)


def check_served(source: str, served: Served) -> None:
    """Raises SourceError for what this server would not do."""
    for api in served.apis:
        _refuse(f"{source}: {type(api).__name__}", _reasons_of_api(api))
        _check_hooks(source, api)
    if served.server is not None:
        _refuse(f"{source}: LitServer", _reasons_of_server(served.server))
    if served.described and served.callbacks:
        raise SourceError(
            f"{source}: LitServer has callbacks, and a LitAPI with metadata() has no hooks of LitServe to tell them; "
            "remove the callbacks, and read this server's /metrics"
        )
    if len(served.apis) > 1 and any(is_described(api) for api in served.apis):
        raise SourceError(
            f"{source}: a LitAPI with metadata() is served alone; choose one with --set {API_PATH}=PATH"
        )
    paths = [api.api_path for api in served.apis]
    for path in paths:
        if path.startswith(_TAKEN):
            raise SourceError(
                f"{source}: {API_PATH} is {path!r}; paths that begin with {', '.join(_TAKEN)} belong to this server"
            )
        if paths.count(path) > 1:
            raise SourceError(f"{source}: two LitAPIs have the {API_PATH} {path!r}; give each one its own")


def chosen(source: str, apis: Sequence[Any], path: str) -> tuple[Any, ...]:
    """The LitAPI with that path, as a tuple. Raises SourceError."""
    found = tuple(api for api in apis if api.api_path == path)
    if not found:
        raise SourceError(
            f"{source}: {API_PATH} is {path!r}; allowed: {', '.join(sorted(api.api_path for api in apis))}"
        )
    return found


def limit_batches(served: Served, max_batch_size: int) -> list[str]:
    """Keep every LitAPI's batches within the server's. Gives a line for each setting that is not as its author wrote it."""
    changed = replaced_settings(served.server) if served.server else []
    for api in served.apis:
        if api.max_batch_size > max_batch_size:
            changed.append(
                f"event=batch_size_limited litapi={type(api).__name__} wanted={api.max_batch_size} "
                f"limit={max_batch_size} raise_it_with=--max-batch-size"
            )
            api.max_batch_size = max_batch_size
    return changed


def _check_hooks(source: str, api: Any) -> None:
    """What LitServe checks: hooks are generators exactly where they must be. Raises SourceError."""
    loop = get_default_loop(api.stream, api.max_batch_size, api.enable_async)
    try:
        api.pre_setup()
        loop.pre_setup(api)
    except ValueError as error:
        raise SourceError(f"{source}: {' '.join(' '.join(map(str, error.args)).split())}") from error
    if api.spec is not None:
        api.spec._endpoints.clear()  # noqa: SLF001 - each preparation adds them again


def _refuse(owner: str, reasons: Iterator[str]) -> None:
    for reason in reasons:
        raise SourceError(f"{owner} has {reason}")


def _reasons_of_api(api: Any) -> Iterator[str]:
    loop = api._loop  # noqa: SLF001
    default = get_default_loop(api.stream, 1 if api.enable_async else api.max_batch_size, api.enable_async)
    if loop != "auto" and type(loop) is not type(default):
        yield (
            f"loop={type(loop).__name__}, and this server runs the hooks itself; "
            "remove loop= and do the loop's work in batch, predict and unbatch"
        )
    if api.mcp is not None:
        yield "mcp=, which this server does not offer; remove it, or put an MCP server of your own before the HTTP route"
    if api.enable_async and api.max_batch_size > 1:
        yield (
            f"enable_async with max_batch_size={api.max_batch_size}, which LitServe does not know; leave "
            "max_batch_size at 1: async calls run side by side anyway"
        )
    library = getattr(api, "oip_tensors", "numpy")
    if library not in TENSOR_LIBRARIES:
        yield f"oip_tensors={library!r}; allowed: {', '.join(TENSOR_LIBRARIES)}"


def _reasons_of_server(server: Any) -> Iterator[str]:
    if server.enable_shutdown_api:
        yield "enable_shutdown_api, and this server ends by SIGTERM alone; remove it"
    if server.max_payload_size is not None:
        yield "max_payload_size, which would leave gRPC unbounded; remove it and set --max-message-bytes"
    if server.workers_per_device != 1:
        yield (
            f"workers_per_device={server.workers_per_device!r}; remove it and set --workers, or serve more replicas"
        )


def replaced_settings(server: Any) -> list[str]:
    """A line for each setting of a LitServer that this server has something else for."""
    found = {
        "fast_queue": server.use_zmq and "its own queue",
        "restart_workers": server.restart_workers and "workers that die are always restarted",
        "devices": server.devices != ["cpu"] and "the device of its worker",
    }
    return [f"event=litserver_setting_replaced setting={name} by={by!r}" for name, by in found.items() if by]


def _is_own(route: Any) -> bool:
    endpoint = getattr(route, "endpoint", None)
    return getattr(endpoint, "__module__", "").split(".")[0] in ("litserve", "fastapi")


def built(value: object) -> Served | None:
    """What an object of a user's module is: a LitServer, a LitAPI or a list of them; None = nothing of these."""
    if isinstance(value, litserve.LitServer):
        return Served(apis=tuple(value.litapi_connector), server=value)
    if isinstance(value, litserve.LitAPI):
        return Served(apis=(value,))
    if isinstance(value, list | tuple) and value and all(isinstance(api, litserve.LitAPI) for api in value):
        return Served(apis=tuple(value))
    return None
