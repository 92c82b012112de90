"""Revisions that had a share of a model's calls until lately; the activator asks at each change of the data plane.

A call keeps the cluster that it was given first, and is tried again there. Envoy refuses a call whose cluster is gone ("no healthy
upstream"), so the cluster of a revision outlives its share for longer than a call may wait, and leads to whatever pods the model has.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from atheria_gateway.core.model import ModelKey
from atheria_gateway.core.shares import Share

Ends = Mapping[ModelKey, Mapping[str, float | None]]
"""By model and revision: when its share ended, in seconds of a monotonic clock; None while it has one."""


def ends_of_shares(
    before: Ends,
    shares: Mapping[ModelKey, Sequence[Share]],
    models: Sequence[ModelKey],
    now_seconds: float,
    keep_seconds: float,
) -> Ends:
    """Who has a share, and whose ended in the last `keep_seconds`, of the models that there still are."""
    found: dict[ModelKey, Mapping[str, float | None]] = {}
    for model in models:
        ended = {
            revision: now_seconds if end is None else end for revision, end in before.get(model, {}).items()
        }
        kept: dict[str, float | None] = {
            revision: end for revision, end in ended.items() if now_seconds - end < keep_seconds
        }
        kept.update({share.revision: None for share in shares.get(model, ())})
        if kept:
            found[model] = kept
    return found


def with_inherited(before: Ends, found: Iterable[tuple[ModelKey, str]], now_seconds: float) -> Ends:
    """As `before`, and the share of each revision `found` in Envoy that is not known ended now: an activator that ran earlier gave it one."""
    ends = {model: dict(revisions) for model, revisions in before.items()}
    for model, revision in found:
        ends.setdefault(model, {}).setdefault(revision, now_seconds)
    return ends


def retired_of(ends: Ends) -> dict[ModelKey, tuple[str, ...]]:
    """Revisions by model whose share has ended, in order."""
    found = {
        model: tuple(sorted(revision for revision, end in revisions.items() if end is not None))
        for model, revisions in ends.items()
    }
    return {model: revisions for model, revisions in found.items() if revisions}
