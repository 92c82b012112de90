"""What the loops need from outside: the API server, a clock, demand, events, metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from atheria_operator.api.model import ModelKey, Problem
from atheria_operator.domain.certificates.stored import Pair
from atheria_operator.domain.certificates.terms import Term
from atheria_operator.domain.election import Record
from atheria_operator.domain.names import Owner
from atheria_operator.domain.rollout.analysis import CallFigures
from atheria_operator.domain.scaling.demand import Demand
from atheria_operator.domain.status.figures import StatusFigures

NOT_FOUND = 404
CONFLICT = 409
FORBIDDEN = 403


class ClusterError(OSError):
    """The API server refused or did not answer; `status` is the HTTP status, 0 for none."""

    def __init__(self, status: int, message: str) -> None:
        """`message` is the API server's own sentence where it gave one."""
        super().__init__(f"{status}: {message}" if status else message)
        self.status = status
        self.message = message

    @property
    def is_refusal(self) -> bool:
        """The object is wrong or forbidden: the user has to change something."""
        return self.status in (400, 403, 422)


INTERNAL = "Internal"
"""An error that is ours."""
_REASONS = {
    0: "Unreachable",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    409: "Conflict",
    410: "Gone",
    422: "Invalid",
    429: "TooManyRequests",
}


def reason_of(error: Exception) -> str:
    """One word for metrics and logs."""
    if not isinstance(error, ClusterError):
        return INTERNAL
    return _REASONS.get(error.status, "ServerError" if error.status >= 500 else "Refused")


class Raced(Exception):  # noqa: N818 - not an error: somebody else wrote first
    """The object was not as the decision saw it; look again and decide anew."""


class ReportError(Exception):
    """A pod's report cannot be had; the message names the address and why."""

    def __init__(self, message: str, *, is_final: bool = False) -> None:
        """`is_final`: the same answer would come again."""
        super().__init__(message)
        self.is_final = is_final


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectRef:
    """An object by kind and name."""

    api_version: str
    kind: str
    namespace: str
    name: str

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> ObjectRef:
        """The reference to a namespaced object."""
        metadata = body["metadata"]
        return cls(
            api_version=body["apiVersion"],
            kind=body["kind"],
            namespace=metadata["namespace"],
            name=metadata["name"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """The number of pods that an object asks for, and the version of the object that said so."""

    replicas: int
    resource_version: str


class ClusterWriter(Protocol):
    """The API server; every method raises ClusterError."""

    async def read(self, ref: ObjectRef) -> Mapping[str, Any] | None:
        """The object, or None when there is none."""

    async def apply(self, body: Mapping[str, Any], *, manager: str) -> Mapping[str, Any]:
        """Server-side apply, forced; a resourceVersion in the body is a precondition."""

    async def look(self, ref: ObjectRef) -> Mapping[str, Any] | None:
        """metadata of an object whose content is nobody's business, or None where there is none."""

    async def apply_status(self, ref: ObjectRef, status: Mapping[str, Any]) -> Mapping[str, Any]:
        """Server-side apply of the status subresource as atheria-status."""

    async def delete(self, ref: ObjectRef, uid: str) -> None:
        """Delete exactly this object; an absent one is fine."""

    async def read_scale(self, ref: ObjectRef) -> Scale | None:
        """The scale subresource, or None when there is no object."""

    async def write_scale(self, ref: ObjectRef, scale: Scale) -> Scale:
        """Set the number of pods through the scale subresource, only if the version still holds (409 otherwise)."""

    async def set_deletion_cost(self, pod: ObjectRef, uid: str, cost: int | None) -> None:
        """How dear the deletion of exactly this pod is, the lowest goes first; None takes it back. An absent one is fine."""


class ObjectLister(Protocol):
    """What exists, by kind."""

    async def uids(self, kind: str) -> frozenset[str]:
        """Uids of all objects of a kind that carry a model's label. Raises ClusterError."""


class LeaseStore(Protocol):
    """The Lease of the operators; every method raises ClusterError."""

    async def read(self) -> Record | None:
        """The Lease, or None when there is none."""

    async def write(self, identity: str, before: Record | None) -> Record:
        """Make `identity` its holder (empty = nobody), only over the record that was read (409 otherwise)."""


class Clock(Protocol):
    """Time and chance."""

    def monotonic_seconds(self) -> float:
        """Seconds of a clock that never goes back."""

    def now(self) -> str:
        """RFC 3339 in UTC, whole seconds."""

    def jitter(self) -> float:
        """From 0 to 1."""


class DemandSource(Protocol):
    """What the gateways say."""

    def demand(self, key: ModelKey) -> Demand | None:
        """Demand of a model now; None when nobody says anything."""

    def calls_total(self, key: ModelKey) -> int:
        """Calls of a model since this process started; never less than before."""

    def forget(self, key: ModelKey) -> None:
        """The model is gone."""

    def revision_calls(self, key: ModelKey) -> Mapping[str, CallFigures]:
        """By name of the revision, of those that share a model's calls: totals since this process started."""


class PodReports(Protocol):
    """What pods say about themselves."""

    async def fetch(self, url: str, *, may_be_unready: bool = False, host: str = "") -> Any:
        """The answer as JSON, within seconds; with `may_be_unready` also that of a 503. Raises ReportError.

        With a `host` only from who shows a certificate for it.
        """

    async def fetch_text(self, url: str) -> str:
        """The answer as text, within seconds. Raises ReportError."""


class StandbyOrders(Protocol):
    """Orders to pods that may be put to sleep."""

    async def order(self, url: str, key: ModelKey, *, host: str = "") -> bool:
        """Give the order at `url` to a pod of the model; whether it was taken, within seconds. Raises ReportError where the pod does not
        answer or knows no such orders. With a `host` only to who shows a certificate for it."""


class PodEvents(Protocol):
    """What others say about pods."""

    async def events_of_pod(self, namespace: str, uid: str) -> Sequence[Mapping[str, Any]]:
        """core/v1 Events of one pod, any order. Raises ClusterError."""


class EventSink(Protocol):
    """Kubernetes Events on a model."""

    def publish(self, body: Mapping[str, Any], *, is_warning: bool, reason: str, message: str) -> None:
        """Say something about the model `body`."""


class Telemetry(Protocol):
    """Metrics."""

    def reconciled(self, seconds: float, error: str = "") -> None:
        """One round of a model's loop; `error` is the reason in one word where it failed."""

    def woken(self, loop: str) -> None:
        """Something woke a loop of a model."""

    def called(self, verb: str, code: int) -> None:
        """A request to the API server was answered; `code` 0 = it was not."""

    def led(self, *, is_leader: bool) -> None:
        """Whether this operator may write."""

    def started(self, phase: str, seconds: float) -> None:
        """A phase of a first pod's start that is over."""

    def replicas(self, key: ModelKey, *, desired: int, ready: int) -> None:
        """Pods decided and pods ready."""

    def scaled(self, key: ModelKey, reason: str) -> None:
        """The autoscaler changed a number."""

    def decided(self, key: ModelKey, inputs: Mapping[str, float]) -> None:
        """What the autoscaler saw, by the names of status.lastDecisions[].inputs; nothing while it has nothing to decide."""

    def holds(self, key: ModelKey, profile: str, devices: int) -> None:
        """Devices that a model's pods hold now; 0 on a profile without devices."""

    def reported(self, key: ModelKey, figures: StatusFigures) -> None:
        """The figures of the newest status."""

    def forget(self, key: ModelKey) -> None:
        """The model is gone."""


class Usage(Enum):
    """Which side of a connection a certificate is for; it is refused on the other."""

    SERVER = "server"
    CLIENT = "client"


class CertificateIssuer(Protocol):
    """Keys and certificates."""

    def authority(self, name: str, *, now_seconds: float, seconds: float) -> Pair:
        """A new authority that lasts for `seconds`."""

    def issue(self, authority: Pair, host: str, usage: Usage, *, now_seconds: float, seconds: float) -> Pair:
        """A new certificate for the DNS name `host`, signed by `authority`. ValueError where that cannot sign."""

    def term(self, name: str, certificate: bytes) -> Term:
        """From when to when a certificate counts. ValueError for what is none."""


class PodCertificates(Protocol):
    """The certificates of models' pods."""

    def wants(self, serves_encrypted: bool | None) -> bool:
        """Whether a model's next revision is to speak TLS; `serves_encrypted` = one that takes calls, or is about to, does, None = there is none."""

    async def keep(self, model: Owner) -> Problem | None:
        """See to it that the model's pods have one that lasts; what the user has to change where they cannot. Raises ClusterError."""

    def pending(self, key: ModelKey, /) -> Problem | None:
        """Why the model's certificate is not there yet, as `keep` saw it last; None where it is."""

    def forget(self, key: ModelKey) -> None:
        """The model is gone."""
