"""One ADS stream as a state machine without I/O: which answers follow from a request or from a new snapshot.

State of the world, ACK by nonce. Three rules keep calls safe: nothing is sent before the first snapshot (a restarted
activator must not wipe a good Envoy), EDS sends only assignments that changed, and routes are sent only after every
cluster that they name has acknowledged endpoints.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf import any_pb2

from atheria_gateway.core.endpoints import Endpoint
from atheria_gateway.xds.inherited import version_of
from atheria_gateway.xds.resources import CDS, EDS, RDS, Snapshot


@dataclass(slots=True, kw_only=True)
class AdsStream:
    """State of one stream. `acknowledged` holds, by EDS name, the pods that Envoy has confirmed."""

    snapshot: Snapshot | None = None
    acknowledged: dict[str, frozenset[Endpoint]] = field(default_factory=dict)
    is_routed: bool = False
    """Whether Envoy has acknowledged routes, and with them the clusters and pods that they name."""
    rejections: list[str] = field(default_factory=list)
    """Messages of NACKs, for the log; the caller empties it."""
    _subscribed: dict[str, frozenset[str]] = field(default_factory=dict)
    _sent: dict[str, dict[str, any_pb2.Any]] = field(default_factory=dict)
    _in_flight: dict[str, tuple[str, dict[str, frozenset[Endpoint]]]] = field(default_factory=dict)
    """By type: nonce of the last answer that is not acknowledged, and the pods by name that it said."""
    _counter: int = 0

    @property
    def is_settled(self) -> bool:
        """Whether Envoy has confirmed all of the snapshot."""
        snapshot = self.snapshot
        if snapshot is None or self._in_flight or not self._has_current_routes(snapshot):
            return False
        sent = self._sent.get(EDS, {})
        return self._sent.get(CDS) == snapshot.clusters and all(
            sent.get(name) == item for name, item in snapshot.assignments.items()
        )

    def on_request(self, request: Any) -> list[Any]:
        """Take a DiscoveryRequest: a subscription, an ACK or a NACK; returns the DiscoveryResponses to send."""
        url = request.type_url
        if url not in (CDS, EDS, RDS):
            return []
        if request.response_nonce:
            self._settle(request)
        names = frozenset(request.resource_names)
        self._subscribed[url] = names
        sent = self._sent.get(url)
        if url == EDS and sent is not None:
            # A name that left and comes back must be answered again.
            for name in [name for name in sent if name not in names]:
                del sent[name]
            for name in [name for name in self.acknowledged if name not in names]:
                del self.acknowledged[name]
        return self._due()

    def on_snapshot(self, snapshot: Snapshot) -> list[Any]:
        """Take a new snapshot; returns the DiscoveryResponses to send."""
        self.snapshot = snapshot
        return self._due()

    def _settle(self, request: Any) -> None:
        waiting = self._in_flight.get(request.type_url)
        if waiting is None or waiting[0] != request.response_nonce:
            return
        del self._in_flight[request.type_url]
        if request.error_detail.code:
            self.rejections.append(f"{request.type_url.rsplit('.', 1)[-1]}: {request.error_detail.message}")
            return
        self.acknowledged.update(waiting[1])
        if request.type_url == RDS:
            self.is_routed = True

    def _due(self) -> list[Any]:
        if self.snapshot is None:
            return []
        answers = []
        # Routes first: they leave a removed model before its clusters go; for a new one they wait anyway.
        for url in (RDS, CDS, EDS):
            # One answer at a time for each type: the next is due at its ACK, so a nonce never goes stale.
            if url in self._subscribed and url not in self._in_flight:
                answer = self._answer(url, self.snapshot)
                if answer is not None:
                    answers.append(answer)
        return answers

    def _has_clusters(self, snapshot: Snapshot) -> bool:
        """Whether Envoy has confirmed every cluster of the snapshot and its endpoints."""
        wanted = snapshot.clusters.keys()
        is_confirmed = CDS not in self._in_flight and wanted <= self._sent.get(CDS, {}).keys()
        return wanted <= self.acknowledged.keys() and (is_confirmed or not wanted)

    def _has_current_routes(self, snapshot: Snapshot) -> bool:
        """Whether Envoy has the snapshot's routes, or none at all."""
        if RDS not in self._subscribed:
            return True
        return RDS not in self._in_flight and self._sent.get(RDS) == {"": snapshot.routes}

    def _answer(self, url: str, snapshot: Snapshot) -> Any | None:
        sent = self._sent.get(url)
        said: dict[str, frozenset[Endpoint]] = {}
        if url == CDS:
            now = dict(snapshot.clusters)
            if sent is not None and not self._has_current_routes(snapshot):
                # A cluster goes after the routes that name it: a call on its way there would fail.
                now = {**sent, **now}
            if sent == now:
                return None
            resources = now
        elif url == EDS:
            known = sent or {}
            wanted = self._subscribed[EDS]
            resources = {
                name: item
                for name, item in snapshot.assignments.items()
                if name in wanted and known.get(name) != item
            }
            if not resources:
                return None
            now = {**known, **resources}
            said = {name: snapshot.endpoints[name] for name in resources}
        else:
            now = {"": snapshot.routes}
            if sent == now or not self._has_clusters(snapshot):
                return None
            resources = now
        self._sent[url] = now
        self._counter += 1
        nonce = str(self._counter)
        self._in_flight[url] = (nonce, said)
        return discovery_pb2.DiscoveryResponse(
            type_url=url,
            version_info=version_of(nonce, now) if url == CDS else nonce,
            nonce=nonce,
            resources=list(resources.values()),
        )
