"""Who enters the running batch, and what the next step computes. PURE: numbers in, a plan out; `text.generator` carries it out.

Memory: a sequence enters only when the cache has room for all the tokens that it may ever have, so nothing that runs is
ever thrown out and nothing waits for each other: no deadlock by construction. Those who wait enter in the order of
arrival; one that fits may pass another that does not, but nobody is passed more than `passes_max` times.

Time: in each step every sequence that has its prompt behind it makes one token. Beside that, prompts are read in chunks of
together `prompt_tokens_per_step` tokens: half of them go to the oldest prompt, so that it ends, and the others to the
shortest ones, so that a long prompt does not delay the first token of a short one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

EXACT_WIDTHS: Final = 8
WIDTH_STEP: Final = 16
"""New tokens per row that a pass is computed with: 1 to EXACT_WIDTHS, then multiples of this; rows are filled up to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulePolicy:
    """Bounds of the running batch."""

    places: int = 64
    """Sequences at a time."""
    cache_bytes: int
    """All sequences together."""
    prompt_tokens_per_step: int = 256
    """At least 2."""
    passes_max: int = 32
    """Times that a waiting sequence lets others pass."""
    filled_max: int = 64
    """Tokens that a pass may compute for nothing, because its rows have different numbers of new ones; more are worth a pass
    of their own."""
    unread_max: int = 2048
    """Positions of cache that a pass may read for nothing, because its rows are of different lengths."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingSequence:
    """One that has not entered."""

    sequence_id: int
    cache_bytes: int
    """For all the tokens that it may ever have."""
    passed: int = 0
    """Times that others entered before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningSequence:
    """One that has entered."""

    sequence_id: int
    prompt_left: int
    """Tokens of its prompt that are not in the cache; 0 = it makes tokens."""
    length: int
    """Positions in the cache that a pass reads."""
    proposed: int = 0
    """Tokens that were proposed for it and are checked in the same pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """One call of the network: rows of equal width."""

    rows: tuple[tuple[int, int], ...]
    """Sequence, and how many of its new tokens are real."""
    new: int
    """New tokens per row, as `padded_width` gives them."""


def admissible(
    waiting: Sequence[WaitingSequence], policy: SchedulePolicy, *, running: int, used_bytes: int
) -> tuple[int, ...]:
    """Ids that enter now. `waiting` in the order of arrival; `used_bytes` of the `running` sequences.

    Each one's bytes must be at most the policy's, or it and whoever waits behind it never enter.
    """
    entered: list[int] = []
    free, places = policy.cache_bytes - used_bytes, policy.places - running
    for one in waiting:
        if places == 0:
            break
        if one.cache_bytes <= free:
            entered.append(one.sequence_id)
            free -= one.cache_bytes
            places -= 1
        elif one.passed >= policy.passes_max:
            break
    return tuple(entered)


def count_passes(waiting: Sequence[WaitingSequence], entered: Sequence[int]) -> Mapping[int, int]:
    """How often each waiting sequence was passed when those `entered`; only those that were."""
    found: dict[int, int] = {}
    taken = set(entered)
    later = len(taken)
    for one in waiting:
        if one.sequence_id in taken:
            later -= 1
        elif later:
            found[one.sequence_id] = later
    return found


def plan_step(running: Sequence[RunningSequence], policy: SchedulePolicy) -> tuple[Pass, ...]:
    """The passes of the next step: every sequence that makes tokens is in exactly one. `running` in the order of arrival."""
    lengths = {one.sequence_id: one.length for one in running}
    made = [(one.sequence_id, 1 + one.proposed) for one in running if one.prompt_left == 0]
    read = _prompt_chunks([one for one in running if one.prompt_left > 0], policy.prompt_tokens_per_step)
    return (*_passes(made, lengths, policy), *_passes(read, lengths, policy))


def padded_width(new: int) -> int:
    """Of a pass whose widest row has `new` tokens."""
    return new if new <= EXACT_WIDTHS else -(-new // WIDTH_STEP) * WIDTH_STEP


def _prompt_chunks(prompts: Sequence[RunningSequence], tokens: int) -> list[tuple[int, int]]:
    if not prompts:
        return []
    oldest = prompts[0]
    chunks = {oldest.sequence_id: min(oldest.prompt_left, -(-tokens // 2))}
    left = tokens - chunks[oldest.sequence_id]
    for one in sorted(prompts[1:], key=lambda one: one.prompt_left):
        if left == 0:
            break
        chunks[one.sequence_id] = min(one.prompt_left, left)
        left -= chunks[one.sequence_id]
    chunks[oldest.sequence_id] = min(oldest.prompt_left, chunks[oldest.sequence_id] + left)
    return list(chunks.items())


def _passes(
    rows: Sequence[tuple[int, int]], lengths: Mapping[int, int], policy: SchedulePolicy
) -> list[Pass]:
    """Rows together as long as little is computed and read for nothing; the widest first."""
    groups: list[list[tuple[int, int]]] = []
    for row in sorted(rows, key=lambda row: (-row[1], -lengths[row[0]])):
        if groups and _is_worth_it([*groups[-1], row], lengths, policy):
            groups[-1].append(row)
        else:
            groups.append([row])
    return [Pass(rows=tuple(group), new=padded_width(group[0][1])) for group in groups]


def _is_worth_it(
    group: Sequence[tuple[int, int]], lengths: Mapping[int, int], policy: SchedulePolicy
) -> bool:
    held = [lengths[sequence_id] for sequence_id, _ in group]
    filled = len(group) * group[0][1] - sum(new for _, new in group)
    return filled <= policy.filled_max and len(group) * max(held) - sum(held) <= policy.unread_max
