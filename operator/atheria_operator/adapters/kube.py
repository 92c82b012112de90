"""The API server over `kubernetes.aio`: reads, server-side apply, scale and delete, as plain JSON objects.

Objects are plain dicts in the whole operator, so the typed models of the client are not used; paths are known, so there is
no discovery either.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, Final

import aiohttp
from kubernetes.aio import client, config

from atheria_contract import names
from atheria_operator.runtime.ports import NOT_FOUND, ClusterError, ObjectRef, Scale

_TIMEOUT: Final = aiohttp.ClientTimeout(total=30, sock_connect=5)
_PARALLEL: Final = 20
"""Requests at a time: a start with a thousand models must not starve others at the API server."""
_UNKNOWN_FIELD: Final = "failed to create typed patch object"
_PLURALS: Final = {
    "Deployment": "deployments",
    "Service": "services",
    "ConfigMap": "configmaps",
    "ServiceAccount": "serviceaccounts",
    names.MODEL_KIND: names.MODEL_PLURAL,
}


async def connect(kubeconfig: str = "") -> client.ApiClient:
    """A client for the pod's service account, or for `kubeconfig` (a path) outside a cluster."""
    settings = client.Configuration()
    if kubeconfig:
        await config.load_kube_config(config_file=kubeconfig, client_configuration=settings)
    else:
        config.load_incluster_config(client_configuration=settings)
    return client.ApiClient(configuration=settings)


class KubeClusterWriter:
    """ClusterWriter on a real API server."""

    def __init__(self, api: client.ApiClient) -> None:
        """`api` stays the caller's to close."""
        self._api = api
        self._slots = asyncio.Semaphore(_PARALLEL)

    async def read(self, ref: ObjectRef) -> Mapping[str, Any] | None:
        """The object, or None when there is none."""
        found: Mapping[str, Any] | None = await self._call_or_none("GET", _path(ref))
        return found

    async def apply(self, body: Mapping[str, Any], *, manager: str) -> Mapping[str, Any]:
        """Server-side apply, forced; a resourceVersion in the body is a precondition."""
        return await self._apply(_path(ObjectRef.of(body)), body, manager)

    async def apply_status(self, ref: ObjectRef, status: Mapping[str, Any]) -> Mapping[str, Any]:
        """Server-side apply of the status subresource as atheria-status."""
        body = {
            "apiVersion": ref.api_version,
            "kind": ref.kind,
            "metadata": {"name": ref.name, "namespace": ref.namespace},
            "status": status,
        }
        return await self._apply(f"{_path(ref)}/status", body, names.FIELD_MANAGER_STATUS)

    async def delete(self, ref: ObjectRef, uid: str) -> None:
        """Delete exactly this object in the background; an absent one is fine."""
        await self._call_or_none(
            "DELETE", _path(ref), body={"propagationPolicy": "Background", "preconditions": {"uid": uid}}
        )

    async def read_scale(self, ref: ObjectRef) -> Scale | None:
        """The scale subresource, or None when there is no object."""
        found = await self._call_or_none("GET", f"{_path(ref)}/scale")
        return None if found is None else _scale(found)

    async def write_scale(self, ref: ObjectRef, scale: Scale) -> Scale:
        """Set the number of pods through the scale subresource, only if the version still holds (409 otherwise)."""
        return _scale(
            await self._call(
                "PATCH",
                f"{_path(ref)}/scale",
                body={
                    "metadata": {"resourceVersion": scale.resource_version},
                    "spec": {"replicas": scale.replicas},
                },
                content_type="application/merge-patch+json",
                query={"fieldManager": names.FIELD_MANAGER_AUTOSCALER},
            )
        )

    async def _apply(self, path: str, body: Mapping[str, Any], manager: str) -> Mapping[str, Any]:
        applied: Mapping[str, Any] = await self._call(
            "PATCH",
            path,
            body=dict(body),
            content_type="application/apply-patch+yaml",
            query={"fieldManager": manager, "force": "true", "fieldValidation": "Strict"},
        )
        return applied

    async def _call_or_none(self, method: str, path: str, body: Any = None) -> Any:
        try:
            return await self._call(method, path, body=body)
        except ClusterError as error:
            if error.status == NOT_FOUND:
                return None
            raise

    async def _call(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        content_type: str = "application/json",
        query: Mapping[str, str] | None = None,
    ) -> Any:
        request = await self._api.param_serialize(
            method,
            path,
            query_params=list((query or {}).items()),
            header_params={"Accept": "application/json", "Content-Type": content_type},
            body=body,
            auth_settings=["BearerToken"],
        )
        async with self._slots:
            try:
                answer = await self._api.call_api(*request, _request_timeout=_TIMEOUT)
                text = await answer.response.text()
            except (aiohttp.ClientError, TimeoutError) as error:
                raise ClusterError(0, f"{method} {path}: {type(error).__name__} {error}") from error
        if answer.response.status >= 300:
            message = _message(text)
            # Server-side apply answers 500 to a field that the kind does not have.
            is_unknown_field = answer.response.status == 500 and _UNKNOWN_FIELD in message
            raise ClusterError(422 if is_unknown_field else answer.response.status, message)
        return json.loads(text)


def _path(ref: ObjectRef) -> str:
    root = "/api" if "/" not in ref.api_version else "/apis"
    return f"{root}/{ref.api_version}/namespaces/{ref.namespace}/{_PLURALS[ref.kind]}/{ref.name}"


def _scale(body: Mapping[str, Any]) -> Scale:
    return Scale(
        replicas=int((body.get("spec") or {}).get("replicas") or 0),
        resource_version=str(body["metadata"]["resourceVersion"]),
    )


def _message(text: str) -> str:
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return text[:200]
