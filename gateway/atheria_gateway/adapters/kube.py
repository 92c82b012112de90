"""Kubernetes over `kubernetes.aio`: list and watch with relists, scale patches, server-side apply of slices.

Raw objects are read and written as JSON: the gateway looks at few fields, and typed models cost start-up time.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Final

import aiohttp
from kubernetes.aio import client, config

from atheria_contract import names
from atheria_gateway.adapters.merged import merged
from atheria_gateway.core.model import ModelKey
from atheria_gateway.runtime.ports import Changed, Deleted, Listed, ScaleTarget, Watched, WatchEvent

_LOG = logging.getLogger(__name__)
_REQUEST_S: Final = 15.0
# aiohttp's own limit of the whole loses a cancellation that comes in the same turn of the loop.
_CONNECT: Final = aiohttp.ClientTimeout(total=None, sock_connect=3)
_WATCH_S: Final = 120
# A connection that died without a word is noticed at the end of the watch's own time.
_WATCH: Final = aiohttp.ClientTimeout(total=None, sock_connect=3, sock_read=_WATCH_S + 15)
_PAUSE_S: Final = (0.2, 0.5, 1.0, 2.0, 5.0)
_FORBIDDEN: Final = 403
_NOT_FOUND: Final = 404
_CONFLICT: Final = 409
_GONE: Final = 410
_SCALE_TRIES: Final = 5


class KubeError(OSError):
    """The API server refused or did not answer; `status` is the HTTP status, 0 for none."""

    def __init__(self, status: int, message: str) -> None:
        """`message` is the API server's own sentence where it gave one."""
        super().__init__(f"{status}: {message}" if status else message)
        self.status = status


async def connect(kubeconfig: str | None = None) -> client.ApiClient:
    """A client for the pod's service account, or for `kubeconfig` (a path) outside a cluster; KubeError without either."""
    settings = client.Configuration()
    try:
        if kubeconfig is None:
            config.load_incluster_config(client_configuration=settings)
        else:
            await config.load_kube_config(config_file=kubeconfig, client_configuration=settings)
    except config.ConfigException as error:
        where = f"kubeconfig {kubeconfig}" if kubeconfig else "the pod's service account"
        raise KubeError(
            0, f"no Kubernetes API by {where}: {error} Outside a cluster set --kubeconfig or KUBECONFIG."
        ) from error
    return client.ApiClient(configuration=settings)


class Kube:
    """KubePort on a real API server."""

    def __init__(
        self,
        api: client.ApiClient,
        *,
        pod_namespace: str,
        namespaces: Sequence[str] = (),
        timeout_s: float = _REQUEST_S,
    ) -> None:
        """`pod_namespace` is where the gateway's own pods are; `namespaces` those of its models, empty = all.

        `timeout_s` is for each request but a watch.
        """
        self._api = api
        self._timeout_s = timeout_s
        scopes = [f"/namespaces/{name}" for name in namespaces] or [""]
        self._paths: dict[Watched, tuple[list[str], dict[str, str]]] = {
            Watched.MODELS: (
                [f"/apis/{names.API_VERSION}{scope}/{names.MODEL_PLURAL}" for scope in scopes],
                {},
            ),
            Watched.SLICES: (
                [f"/apis/discovery.k8s.io/v1{scope}/endpointslices" for scope in scopes],
                {"labelSelector": names.LABEL_ROLE},
            ),
            Watched.PODS: (
                [f"/api/v1/namespaces/{pod_namespace}/pods"],
                {"labelSelector": f"{names.LABEL_COMPONENT}=gateway"},
            ),
        }

    async def close(self) -> None:
        """Close all connections."""
        await self._api.close()

    async def follow(self, watched: Watched) -> AsyncIterator[WatchEvent]:
        """List, then watch from there; at 410, errors and silence list again, with growing pauses."""
        paths, selector = self._paths[watched]
        is_one_of_many = len(paths) > 1
        streams = [self._follow_one(watched, path, selector, may_be_refused=is_one_of_many) for path in paths]
        async with aclosing(merged(streams) if is_one_of_many else streams[0]) as events:
            async for event in events:
                yield event

    async def _follow_one(
        self, watched: Watched, path: str, selector: Mapping[str, str], *, may_be_refused: bool
    ) -> AsyncGenerator[WatchEvent]:
        """`may_be_refused` = one that may not be listed from the start counts as empty: a namespace that was deleted took its
        Role along, and the others must be served all the same."""
        failures = 0
        version = ""
        has_listed = False
        while True:
            try:
                if not version:
                    body = await self._call("GET", path, query=selector)
                    version = str(body["metadata"]["resourceVersion"])
                    yield Listed(objects=tuple(body.get("items") or ()))
                    failures = 0
                    has_listed = True
                async for kind, item in self._watch(path, selector, version):
                    version = str(item["metadata"].get("resourceVersion") or version)
                    failures = 0
                    if kind in {"ADDED", "MODIFIED"}:
                        yield Changed(body=item)
                    elif kind == "DELETED":
                        yield Deleted(body=item)
            except (OSError, aiohttp.ClientError, TimeoutError, ValueError) as error:
                version = ""
                pause_s = _PAUSE_S[min(failures, len(_PAUSE_S) - 1)]
                failures += 1
                if not (isinstance(error, KubeError) and error.status == _GONE):
                    _LOG.warning("following %s: %s; listing again in %g s", watched.value, error, pause_s)
                if may_be_refused and not has_listed and getattr(error, "status", 0) == _FORBIDDEN:
                    yield Listed(objects=())
                    has_listed = True
                await asyncio.sleep(pause_s)

    async def scale_from_zero(self, target: ScaleTarget, key: ModelKey) -> bool:
        """Read the Scale and patch it at that version, so that no gateway ever lowers a count."""
        group = (
            f"/apis/{names.API_VERSION}/namespaces/{key.namespace}/{names.MODEL_PLURAL}"
            if target is ScaleTarget.MODEL
            else f"/apis/apps/v1/namespaces/{key.namespace}/deployments"
        )
        path = f"{group}/{key.name}/scale"
        for attempt in range(_SCALE_TRIES):
            try:
                scale = await self._call("GET", path)
                if (scale.get("spec") or {}).get("replicas"):
                    return False
                version = scale["metadata"]["resourceVersion"]
                await self._call(
                    "PATCH",
                    path,
                    body={"metadata": {"resourceVersion": version}, "spec": {"replicas": 1}},
                    content_type="application/merge-patch+json",
                    query={"fieldManager": names.FIELD_MANAGER_GATEWAY},
                )
            except KubeError as error:
                if error.status == _NOT_FOUND:
                    return False
                # Somebody wrote between the two, e.g. the operator its status: look again.
                if error.status != _CONFLICT or attempt == _SCALE_TRIES - 1:
                    raise
            else:
                return True
        raise AssertionError("unreachable: the last try returns or raises")

    async def apply_slice(self, body: Mapping[str, Any]) -> None:
        """Server-side apply as atheria-gateway; every gateway pod applies the same."""
        metadata = body["metadata"]
        await self._call(
            "PATCH",
            f"/apis/discovery.k8s.io/v1/namespaces/{metadata['namespace']}/endpointslices/{metadata['name']}",
            body=dict(body),
            content_type="application/apply-patch+yaml",
            query={"fieldManager": names.FIELD_MANAGER_GATEWAY, "force": "true"},
        )

    async def _send(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        content_type: str = "application/json",
        query: Mapping[str, str],
        timeout: aiohttp.ClientTimeout,
    ) -> aiohttp.ClientResponse:
        request = await self._api.param_serialize(
            method,
            path,
            query_params=list(query.items()),
            header_params={"Accept": "application/json", "Content-Type": content_type},
            body=body,
            auth_settings=["BearerToken"],
        )
        try:
            answer = await self._api.call_api(*request, _request_timeout=timeout)
        except aiohttp.ClientError as error:
            raise KubeError(0, f"{method} {path}: {type(error).__name__} {error}") from error
        response: aiohttp.ClientResponse = answer.response
        if response.status >= 300:
            text = await response.text()
            raise KubeError(response.status, f"{method} {path}: {_message(text)}")
        return response

    async def _call(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        content_type: str = "application/json",
        query: Mapping[str, str] | None = None,
    ) -> Any:
        try:
            async with asyncio.timeout(self._timeout_s):
                response = await self._send(
                    method, path, body=body, content_type=content_type, query=query or {}, timeout=_CONNECT
                )
                return await response.json(content_type=None)
        except aiohttp.ClientError as error:
            raise KubeError(0, f"{method} {path}: {type(error).__name__} {error}") from error
        except TimeoutError as error:
            raise KubeError(0, f"{method} {path}: no answer within {self._timeout_s:g} s") from error

    async def _watch(
        self, path: str, selector: Mapping[str, str], version: str
    ) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        query = {
            **selector,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(_WATCH_S),
        }
        response = await self._send("GET", path, query=query, timeout=_WATCH)
        try:
            # Split here: the client's own line reader refuses objects above 128 KiB.
            rest = b""
            async for chunk in response.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    event = json.loads(line)
                    item = event["object"]
                    if event["type"] == "ERROR":
                        raise KubeError(
                            int(item.get("code") or 0), str(item.get("message") or "watch failed")
                        )
                    yield event["type"], item
        finally:
            response.close()


def _message(text: str) -> str:
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return text[:200]
