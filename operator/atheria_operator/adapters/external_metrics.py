"""`external.metrics.k8s.io/v1beta1` over HTTPS: where the HorizontalPodAutoscaler controller reads what class hpa is scaled by.

The API server's aggregation layer asks, not the controller itself. It has checked the rights of whoever asked it, and proves who it is by
the certificate of the front proxy, whose authority it publishes in kube-system. Nobody else gets an answer.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
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
_REFRESH_SECONDS: Final = 300.0
"""How often certificates are read anew, which others may rotate."""
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
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.context.verify_mode = ssl.CERT_REQUIRED

    async def refresh(self) -> None:
        """Read both sides' certificates. Raises ClusterError, and OSError where a file is missing or wrong."""
        found = await self._cluster.read(_AUTHENTICATION)
        data: Mapping[str, str] = (found or {}).get("data") or {}
        authority = data.get(_CA_KEY, "")
        if not authority:
            raise ClusterError(
                0,
                f"kube-system/{_AUTHENTICATION.name} has no {_CA_KEY}: the API server has no aggregation layer",
            )
        self.context.load_cert_chain(self._certificates / CERTIFICATE, self._certificates / KEY)
        if authority != self._authority:
            self.context.load_verify_locations(cadata=authority)
            self._authority = authority
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
) -> None:
    """Serve on all addresses until cancelled (`port` 0 = a free one, told to `started`). Raises OSError if it is taken."""
    proxy = FrontProxy(cluster, certificates)
    runner: web.AppRunner | None = None
    try:
        while True:
            try:
                await proxy.refresh()
                wait_seconds = _REFRESH_SECONDS
            except (OSError, ValueError) as error:
                # ClusterError is one. What was read before goes on to be used.
                _LOG.error(
                    "external metrics: certificates cannot be read, again in %g s: %s", _RETRY_SECONDS, error
                )
                wait_seconds = _RETRY_SECONDS
            else:
                if runner is None:
                    runner = web.AppRunner(build_app(reader, proxy.allows), access_log=None)
                    await runner.setup()
                    await web.TCPSite(runner, port=port, ssl_context=proxy.context).start()
                    # A free port is chosen for each address family; this is the one of IPv4.
                    bound = next(int(address[1]) for address in runner.addresses if len(address) == 2)
                    _LOG.info("external_metrics_port=%s", bound)
                    started(bound)
            await asyncio.sleep(wait_seconds)
    finally:
        if runner is not None:
            await runner.cleanup()


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
