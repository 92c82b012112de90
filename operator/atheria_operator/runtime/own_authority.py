"""The operator's own certificate authority for model pods (chart value podTls.mode: internal).

It lives in one Secret of the release's namespace. From it come a certificate for each model, which its pods serve, and one for the
gateway and this operator, which pods ask for. What is not in the cluster as it should be is made again; nothing is kept elsewhere.
Run by `app` beside kopf, asked by the reconcile loops.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from atheria_contract import names
from atheria_operator.api.model import ModelKey, Problem
from atheria_operator.domain.certificates.stored import (
    SECRET,
    Issued,
    Pair,
    build_authority_secret,
    build_client_secret,
    build_model_secret,
    client_secret,
    digest_of_authorities,
    is_foreign,
    read_authority_secret,
    read_client_issue,
    read_issue,
    secret_name,
)
from atheria_operator.domain.certificates.terms import (
    AUTHORITY_SECONDS,
    CERTIFICATE_SECONDS,
    Issue,
    Term,
    in_force,
    is_due,
    is_urgent,
    needs_another,
    signer_of,
)
from atheria_operator.domain.desired.ownership import conflict
from atheria_operator.domain.names import Owner
from atheria_operator.runtime.ports import (
    CONFLICT,
    CertificateIssuer,
    Clock,
    ClusterError,
    ClusterWriter,
    ObjectRef,
    Usage,
)

_LOG = logging.getLogger(__name__)
EVERY_SECONDS: Final = 60.0
"""Between two looks at the authority and at the gateway's certificate."""
AGAIN_SECONDS: Final = 5.0
"""After a look that failed: new models wait for the authority."""
LOOK_SECONDS: Final = 600.0
"""Between two looks at a model's Secret that is as it should be: somebody may have deleted it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ring:
    """The authorities in force."""

    signer: Pair
    bundle: bytes
    digest: str
    ends_seconds: float
    """When the newest one ends."""


@dataclass(slots=True, kw_only=True)
class _Known:
    issue: Issue
    seen_seconds: float


class OwnAuthority:
    """PodCertificates by an authority of the operator's own."""

    def __init__(
        self,
        cluster: ClusterWriter,
        clock: Clock,
        issuer: CertificateIssuer,
        *,
        namespace: str,
        name: str,
        take: Callable[[Issued], None],
        wants: Callable[[bool | None], bool],
        wake_all: Callable[[], None],
    ) -> None:
        """`name` is what the names of the release's objects begin with; `take` gets what the operator shows to pods itself, `wants` says
        whether a revision is to speak TLS, and `wake_all` wakes the models when their certificates have to be made again."""
        self._cluster = cluster
        self._clock = clock
        self._issuer = issuer
        self._namespace = namespace
        self._name = name
        self._take = take
        self._wants = wants
        self._wake_all = wake_all
        self._ring: _Ring | None = None
        self._own: Issue | None = None
        self._client: Issue | None = None
        self._known: dict[ModelKey, _Known] = {}

    async def run(self) -> None:
        """For ever. What the API server refuses is logged and tried again."""
        while True:
            wait_seconds = EVERY_SECONDS
            try:
                await self.look()
            except (OSError, ValueError) as error:
                wait_seconds = AGAIN_SECONDS
                _LOG.error(
                    "the authority of model pods cannot be kept, again in %g s: %s", wait_seconds, error
                )
            await asyncio.sleep(wait_seconds)

    async def look(self) -> None:
        """See to the authority, to the operator's own certificate and to the gateway's. Raises ClusterError, and ValueError for a Secret
        that is not as it was written."""
        now_seconds = self._now()
        ring = await self._load(now_seconds)
        is_new = self._ring is None or self._ring.digest != ring.digest
        if is_due(self._own, ring.digest, now_seconds):
            own = self._issue(ring, f"{self._name}-operator.{self._namespace}.svc", Usage.CLIENT, now_seconds)
            try:
                self._take(own)
            except (OSError, ValueError) as error:
                # ssl.SSLError is one: what OpenSSL does not take, pods do not take either.
                raise self._broken(error) from error
            self._own = Issue(ends_seconds=own.ends_seconds, authorities=ring.digest)
        self._ring = ring
        if is_new:
            self._wake_all()
        await self._keep_client(ring, now_seconds)

    def ends_seconds(self) -> float | None:
        """When the first of the certificates that are kept here ends, since the epoch; None before there is one. For the metrics."""
        ends = [known.issue.ends_seconds for known in self._known.values()]
        ends += [issue.ends_seconds for issue in (self._own, self._client) if issue is not None]
        ends += [self._ring.ends_seconds] if self._ring is not None else []
        return min(ends, default=None)

    def wants(self, serves_encrypted: bool | None) -> bool:
        """Whether a model's next revision is to speak TLS; see `runtime.tls_switch`."""
        return self._wants(serves_encrypted)

    async def keep(self, model: Owner) -> Problem | None:
        """The model's Secret, made or renewed where it is due. Raises ClusterError, also while there is no authority and the model could
        not do without it."""
        now_seconds, seen_seconds = self._now(), self._clock.monotonic_seconds()
        known = self._known.get(model.key)
        if (
            known is not None
            and seen_seconds - known.seen_seconds < LOOK_SECONDS
            and not self._is_due(known.issue, now_seconds)
        ):
            return None
        ref = ObjectRef(
            api_version="v1",
            kind=SECRET,
            namespace=model.key.namespace,
            name=secret_name(model.key.name),
        )
        metadata = await self._cluster.look(ref)
        if problem := conflict(SECRET, metadata, model):
            return problem
        if metadata is not None and not _is_owned(metadata, model.uid):
            raise ClusterError(
                CONFLICT, f"{SECRET} {ref.namespace}/{ref.name} still goes with a model that was deleted"
            )
        issue = None if metadata is None or is_foreign(metadata) else read_issue(metadata)
        if issue is None or self._is_due(issue, now_seconds):
            ring = self._ring
            if ring is None:
                raise ClusterError(
                    0, "the authority that signs the certificates of model pods is not there yet"
                )
            host = names.pod_host(model.key.namespace, model.key.name)
            issued = self._issue(ring, host, Usage.SERVER, now_seconds)
            await self._cluster.apply(build_model_secret(model, issued), manager=names.FIELD_MANAGER_OPERATOR)
            issue = Issue(ends_seconds=issued.ends_seconds, authorities=ring.digest)
            _LOG.info("model=%s certificate=%s issued", model.key, ref.name)
        self._known[model.key] = _Known(issue=issue, seen_seconds=seen_seconds)
        return None

    def pending(self, _: ModelKey, /) -> Problem | None:
        """Never anything: what `keep` made is there."""
        return None

    def forget(self, key: ModelKey) -> None:
        """The model is gone."""
        self._known.pop(key, None)

    async def _load(self, now_seconds: float) -> _Ring:
        ref = self._ref(authority_secret(self._name))
        body = await self._cluster.read(ref)
        if body is None:
            raise ClusterError(
                404,
                f"{ref.kind} {ref.namespace}/{ref.name} is not there: the chart makes it, upgrade the release",
            )
        try:
            pairs = read_authority_secret(body)
            terms = in_force(
                [self._issuer.term(name, pair.certificate) for name, pair in pairs.items()], now_seconds
            )
        except ValueError as error:
            raise self._broken(error) from error
        if needs_another(terms, now_seconds):
            name = f"authority-{int(now_seconds)}"
            pairs[name] = self._issuer.authority(name, now_seconds=now_seconds, seconds=AUTHORITY_SECONDS)
            terms = (*terms, self._issuer.term(name, pairs[name].certificate))
        kept = {term.name: pairs[term.name] for term in terms}
        ring = _ring(terms, kept, now_seconds)
        try:
            self._issue(ring, "try", Usage.CLIENT, now_seconds)
        except ValueError as error:
            raise self._broken(error) from error
        if kept.keys() != read_authority_secret(body).keys():
            secret = build_authority_secret(self._namespace, ref.name, kept)
            # Not over what another operator wrote meanwhile: two authorities would not know each other.
            secret["metadata"]["resourceVersion"] = body["metadata"]["resourceVersion"]
            await self._cluster.apply(secret, manager=names.FIELD_MANAGER_OPERATOR)
            _LOG.info("authorities of model pods are now %s", ", ".join(kept))
        return ring

    def _broken(self, error: Exception) -> ValueError:
        ref = self._ref(authority_secret(self._name))
        return ValueError(
            f"{ref.kind} {ref.namespace}/{ref.name} is not as it was written: {error}; without its data a new authority is made"
        )

    def _is_due(self, issue: Issue, now_seconds: float) -> bool:
        if self._ring is None:
            return is_urgent(issue, now_seconds)
        return is_due(issue, self._ring.digest, now_seconds)

    async def _keep_client(self, ring: _Ring, now_seconds: float) -> None:
        ref = self._ref(client_secret(self._name))
        body = await self._cluster.read(ref)
        issue = None if body is None else read_client_issue(body)
        if is_due(issue, ring.digest, now_seconds):
            issued = self._issue(
                ring, f"{self._name}-gateway.{self._namespace}.svc", Usage.CLIENT, now_seconds
            )
            secret = build_client_secret(self._namespace, ref.name, issued)
            await self._cluster.apply(secret, manager=names.FIELD_MANAGER_OPERATOR)
            issue = Issue(ends_seconds=issued.ends_seconds, authorities=ring.digest)
            _LOG.info("the gateway's certificate for model pods was issued")
        self._client = issue

    def _issue(self, ring: _Ring, host: str, usage: Usage, now_seconds: float) -> Issued:
        pair = self._issuer.issue(
            ring.signer, host, usage, now_seconds=now_seconds, seconds=CERTIFICATE_SECONDS
        )
        ends_seconds = self._issuer.term("", pair.certificate).ends_seconds
        return Issued(pair=pair, authorities=ring.bundle, ends_seconds=ends_seconds)

    def _ref(self, name: str) -> ObjectRef:
        return ObjectRef(api_version="v1", kind=SECRET, namespace=self._namespace, name=name)

    def _now(self) -> float:
        return datetime.fromisoformat(self._clock.now()).timestamp()


def authority_secret(name: str) -> str:
    """Of the Secret with the authority, by what the names of the release's objects begin with."""
    return f"{name}-pod-authority"


def _ring(terms: tuple[Term, ...], pairs: Mapping[str, Pair], now_seconds: float) -> _Ring:
    # One without an end of line would run into the next.
    bundle = b"".join(pairs[term.name].certificate.strip() + b"\n" for term in terms)
    return _Ring(
        signer=pairs[signer_of(terms, now_seconds).name],
        bundle=bundle,
        digest=digest_of_authorities(bundle),
        ends_seconds=max(term.ends_seconds for term in terms),
    )


def _is_owned(metadata: Mapping[str, Any], uid: str) -> bool:
    owners = metadata.get("ownerReferences") or ()
    return any(owner.get("uid") == uid for owner in owners)
