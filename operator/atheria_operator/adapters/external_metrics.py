"""`external.metrics.k8s.io/v1beta1` over HTTPS: where the HorizontalPodAutoscaler controller reads what class hpa is scaled by.

The API server's aggregation layer asks, not the controller itself. It has checked the rights of whoever asked it, and proves who it is by
the certificate of the front proxy, whose authority it publishes in kube-system. Nobody else gets an answer.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from atheria_operator.api.model import ModelKey
from atheria_operator.domain.interop.horizontal_pod_autoscaler import quantity
from atheria_operator.domain.interop.offer import LABEL_MODEL, METRICS, NoReading
from atheria_operator.runtime.offers import OfferReader
from atheria_operator.runtime.ports import ClusterError, ClusterWriter, ObjectRef

_LOG = logging.getLogger(__name__)
GROUP: Final = "external.metrics.k8s.io"
API_VERSION: Final = f"{GROUP}/v1beta1"
CERTIFICATE: Final = "tls.crt"
KEY: Final = "tls.key"
_AUTHENTICATION: Final = ObjectRef(
    api_version="v1", kind="ConfigMap", namespace="kube-system", name="extension-apiserver-authentication"
)
_CA_KEY: Final = "requestheader-client-ca-file"
_NAMES_KEY: Final = "requestheader-allowed-names"
_SELECTOR: Final = re.compile(rf"{LABEL_MODEL}\s*(?:==?|\s+in\s*\()\s*([a-z0-9][a-z0-9.-]*)\s*\)?")
_RETRY_SECONDS: Final = 10.0
_REFRESH_SECONDS: Final = 60.0
"""How often certificates are read anew, which others may rotate or withdraw."""
_CLOSE_SECONDS: Final = 5.0
"""For answers on their way when an authority has changed."""
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class FrontProxy:
    """Who may ask: the certificates of the API server's aggregation layer."""

    def __init__(self, cluster: ClusterWriter, certificates: Path) -> None:
        """`certificates` is a folder with the server's own CERTIFICATE and KEY."""
        self._cluster = cluster
        self._certificates = certificates
        self.names: Sequence[str] = ()
        """Common names that may ask; none = all of the authority."""
        self._authority = ""
        self.context = _context("")
        """Another one once the authority is another: a context never forgets whom it trusts."""

    async def refresh(self) -> None:
        """Read both sides' certificates. Raises ClusterError, and OSError or ValueError where one is missing or wrong; once the API
        server has no authority any more nobody is trusted."""
        found = await self._cluster.read(_AUTHENTICATION)
        data: Mapping[str, str] = (found or {}).get("data") or {}
        authority = data.get(_CA_KEY, "")
        if not authority:
            if self._authority:
                # It was withdrawn: nobody is trusted, until there is one again.
                self.context, self._authority = _context(""), ""
            raise ClusterError(
                0,
                f"kube-system/{_AUTHENTICATION.name} has no {_CA_KEY}: the API server has no aggregation layer",
            )
        context = self.context if authority == self._authority else _context(authority)
        context.load_cert_chain(self._certificates / CERTIFICATE, self._certificates / KEY)
        self.context, self._authority = context, authority
        self.names = json.loads(data.get(_NAMES_KEY) or "[]")

    def allows(self, certificate: Mapping[str, Any] | None) -> bool:
        """Whether the owner of a verified certificate is the front proxy; without names any owner is."""
        if certificate is None:
            return False
        subject = {name: value for part in certificate.get("subject", ()) for name, value in part}
        return not self.names or subject.get("commonName") in self.names


def build_app(reader: OfferReader, allows: Callable[[Mapping[str, Any] | None], bool]) -> web.Application:
    """The API; `allows` judges the certificate of each caller."""

    @web.middleware
    async def only_the_front_proxy(request: web.Request, handler: _Handler) -> web.StreamResponse:
        transport = request.transport
        if not allows(None if transport is None else transport.get_extra_info("peercert")):
            return _status(401, "Unauthorized", "only the API server's front proxy is answered")
        return await handler(request)

    async def resources(_: web.Request) -> web.Response:
        return web.json_response(
            {
                "kind": "APIResourceList",
                "apiVersion": "v1",
                "groupVersion": API_VERSION,
                "resources": [
                    {
                        "name": name,
                        "singularName": "",
                        "namespaced": True,
                        "kind": "ExternalMetricValueList",
                        "verbs": ["get"],
                    }
                    for name in METRICS
                ],
            }
        )

    async def values(request: web.Request) -> web.Response:
        metric, selector = request.match_info["metric"], request.query.get("labelSelector", "")
        found = _SELECTOR.fullmatch(selector.strip())
        if metric not in METRICS:
            return _status(404, "NotFound", f"metric {metric} is unknown; there are {', '.join(METRICS)}")
        if found is None:
            return _status(
                400, "BadRequest", f"labelSelector is {selector!r}: name one model, as {LABEL_MODEL}=NAME"
            )
        key = ModelKey(namespace=request.match_info["namespace"], name=found[1])
        try:
            name, value = reader.value(key)
        except NoReading as unknown:
            return _status(503, "ServiceUnavailable", f"model {key}: {unknown}")
        if name != metric:
            return _status(404, "NotFound", f"model {key} is scaled by {name}, not by {metric}")
        return web.json_response(
            {
                "kind": "ExternalMetricValueList",
                "apiVersion": API_VERSION,
                "metadata": {},
                "items": [
                    {
                        "metricName": metric,
                        "metricLabels": {LABEL_MODEL: key.name},
                        "timestamp": reader.now(),
                        "value": quantity(value) if value else "0",
                    }
                ],
            }
        )

    app = web.Application(middlewares=[only_the_front_proxy])
    app.router.add_get(f"/apis/{API_VERSION}", resources)
    app.router.add_get(f"/apis/{API_VERSION}/namespaces/{{namespace}}/{{metric}}", values)
    return app


async def serve_external_metrics(
    reader: OfferReader,
    cluster: ClusterWriter,
    certificates: Path,
    port: int,
    started: Callable[[int], None] = lambda _port: None,
    *,
    refresh_seconds: float = _REFRESH_SECONDS,
) -> None:
    """Serve on all addresses until cancelled (`port` 0 = a free one, told to `started`). Raises OSError if it is taken."""
    proxy = FrontProxy(cluster, certificates)
    runner: web.AppRunner | None = None
    served: ssl.SSLContext | None = None
    listener: socket.socket | None = None
    try:
        while True:
            try:
                await proxy.refresh()
                wait_seconds, is_read = refresh_seconds, True
            except (OSError, ValueError) as error:
                # ClusterError is one. What was read before goes on to be used, unless it was withdrawn.
                _LOG.error(
                    "external metrics: certificates cannot be read, again in %g s: %s", _RETRY_SECONDS, error
                )
                wait_seconds = _RETRY_SECONDS
                is_read = False
            if (is_read or served is not None) and served is not proxy.context:
                if runner is not None:
                    # Connections and sessions that the old authority vouched for end with it.
                    await runner.cleanup()
                app = build_app(reader, proxy.allows)
                runner = web.AppRunner(app, access_log=None, shutdown_timeout=_CLOSE_SECONDS)
                await runner.setup()
                listener = listener or _listener(port)
                # Of a copy, as its end closes it: who calls in between waits and is not refused.
                await web.SockSite(runner, listener.dup(), ssl_context=proxy.context).start()
                if served is None:
                    bound = int(listener.getsockname()[1])
                    _LOG.info("external_metrics_port=%s", bound)
                    started(bound)
                served = proxy.context
            await asyncio.sleep(wait_seconds)
    finally:
        if listener is not None:
            listener.close()
        if runner is not None:
            await runner.cleanup()


def _listener(port: int) -> socket.socket:
    """On all addresses of both families. Raises OSError where the port is taken."""
    if socket.has_dualstack_ipv6():
        return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("", port))


def _context(authority: str) -> ssl.SSLContext:
    """For callers with certificates of `authority` (PEM). Raises ssl.SSLError where it is none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    if authority:
        context.load_verify_locations(cadata=authority)
    return context


def _status(code: int, reason: str, message: str) -> web.Response:
    return web.json_response(
        {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            "reason": reason,
            "code": code,
        },
        status=code,
    )
