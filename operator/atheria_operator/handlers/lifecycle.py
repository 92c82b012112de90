"""How kopf is set up: credentials, finalizer, watches, Events."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import kopf

from atheria_contract import names
from atheria_operator.handlers.children import CHILDREN, PODS
from atheria_operator.settings import Settings


def build_kopf_settings(settings: Settings) -> kopf.OperatorSettings:
    """Kopf's settings, each with its reason."""
    chosen = kopf.OperatorSettings()
    # One operator by the chart's strategy Recreate: no peering objects, no pause.
    chosen.peering.standalone = True
    chosen.persistence.finalizer = names.FINALIZER
    chosen.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=names.GROUP)
    chosen.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix=names.GROUP)
    chosen.posting.loggers = False
    chosen.posting.level = logging.INFO
    chosen.posting.reporting_component = names.MANAGED_BY
    chosen.posting.reporting_instance = settings.pod_name
    chosen.posting.event_name_prefix = "atheria-"
    chosen.networking.request_timeout = 30.0
    chosen.networking.connect_timeout = 5.0
    chosen.watching.server_timeout = 300
    chosen.watching.chunk_size = 500
    chosen.queueing.worker_limit = 100
    # The loops end by themselves after the request that they are at; cancelled in it, they would leave the rest undone.
    chosen.background.instant_exit_timeout = 2.0
    # Filters of handlers are applied here, these at the server: else every pod of the cluster would be streamed.
    for selector in (*CHILDREN.values(), PODS):
        chosen.watching.label_selectors[selector] = names.LABEL_MODEL
    # With named namespaces the operator needs no rights on namespaces and definitions.
    chosen.scanning.disabled = bool(settings.namespaces)
    return chosen


def register_login(registry: kopf.OperatorRegistry, settings: Settings) -> None:
    """Credentials of the pod, or of KUBECONFIG outside a cluster."""

    @kopf.on.login(registry=registry)
    async def login(**kwargs: Any) -> kopf.ConnectionInfo | None:
        if settings.kubeconfig:
            return kopf.login_with_kubeconfig(**kwargs)
        return kopf.login_with_service_account(**kwargs)


def register_end(registry: kopf.OperatorRegistry, flag: asyncio.Event) -> None:
    """Set kopf's stop flag when it ends for another reason, a signal: its own task that waits for the flag would hold the end up for 5 s."""

    @kopf.on.cleanup(id="set-stop-flag", registry=registry)
    async def set_stop_flag(**_: Any) -> None:
        flag.set()


class QuietHandlers(logging.Filter):
    """Drops kopf's line per event and handler: a thousand models make thousands of them."""

    def filter(self, record: logging.LogRecord) -> bool:
        """False for lines that say only that a handler has run."""
        return record.levelno > logging.INFO or " succeeded." not in record.getMessage()
