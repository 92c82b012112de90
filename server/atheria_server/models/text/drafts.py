"""Proposals for the next tokens of a text: from what it said before (prompt lookup), or by a smaller network.

A proposal costs nothing but time when it is wrong: the served network checks all of them in one pass and keeps those that
it would have made itself.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final, Protocol

from atheria_server.models.text.causal import CausalModel
from atheria_server.models.text.options import DRAFT_TOKENS_MAX
from atheria_server.models.text.passes import Row, compute_pass
from atheria_server.models.text.pool import CachePool, Slot
from atheria_server.models.text.scheduling import padded_width
from atheria_server.models.text.sequence import TextSequence

_LOG = logging.getLogger("atheria.text")
NGRAM_MAX: Final = 3
"""Longest end of the text that is looked for further in front."""
_LOOKED_THROUGH: Final = 4096
"""Tokens of the prompt, counted from its end."""
_UNREAD_MAX: Final = DRAFT_TOKENS_MAX + 1
"""Tokens that a text may be ahead of its draft by and still gets proposals: what one step makes at most."""


class Drafter(Protocol):
    """Where proposals come from."""

    def propose(self, sequences: Sequence[TextSequence]) -> None:
        """Set `proposed` of those that make tokens now; called before each step with all that want this kind."""

    def forget(self, sequence: TextSequence) -> None:
        """It has ended."""


def room(sequence: TextSequence) -> int:
    """Tokens that may be proposed: all but the last one that the text may have, which no pass needs to be fed."""
    if sequence.prompt_left or not sequence.made:
        return 0
    left = sequence.options.max_new_tokens - len(sequence.made) - 1
    return max(0, min(sequence.options.draft_tokens, left))


class Ngrams:
    """Where a text said what: each token is read once, so a look costs the same however long the text is."""

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self._behind: dict[tuple[int, ...], int] = {}
        """Of some tokens in a row: the place behind the last time that they came and something followed."""

    def extend(self, tokens: Sequence[int]) -> None:
        """The text goes on."""
        for token in tokens:
            at = len(self.tokens)
            for size in range(1, min(NGRAM_MAX, at) + 1):
                self._behind[tuple(self.tokens[at - size :])] = at
            self.tokens.append(token)

    def look(self, count: int) -> list[int]:
        """What followed the last place where the text ended as it does now: at most `count` tokens, none if there is none.

        The longest end of at most NGRAM_MAX tokens decides.
        """
        for size in range(min(NGRAM_MAX, len(self.tokens)), 0, -1):
            at = self._behind.get(tuple(self.tokens[-size:]))
            if at is not None:
                return self.tokens[at : at + count]
        return []


class NgramDrafter:
    """Prompt lookup: right where a text repeats what it has said or read."""

    def __init__(self) -> None:
        self._said: dict[int, tuple[Ngrams, int]] = {}
        """By sequence: its text, and how many of the tokens that it made are in it."""

    def propose(self, sequences: Sequence[TextSequence]) -> None:
        """See Drafter."""
        for sequence in sequences:
            if count := room(sequence):
                ngrams, known = self._said.get(sequence.sequence_id) or (Ngrams(), 0)
                if not known:
                    ngrams.extend(sequence.prompt.tokens[-_LOOKED_THROUGH:])
                ngrams.extend(sequence.made[known:])
                self._said[sequence.sequence_id] = ngrams, len(sequence.made)
                sequence.proposed = ngrams.look(count)

    def forget(self, sequence: TextSequence) -> None:
        """See Drafter."""
        self._said.pop(sequence.sequence_id, None)


class ModelDrafter:
    """A smaller network with the same tokens, and a cache of its own. Texts with a lead get no proposals, and none gets more of
    them behind a pass that failed: it goes on without. `undrafted` of a text says that it was without."""

    def __init__(self, network: CausalModel, pool: CachePool, *, chunk: int, device: str) -> None:
        """`chunk` = most tokens of prompts that it reads in one step, all texts together."""
        self._network = network
        self._pool = pool
        self._chunk = chunk
        self._device = device
        self._slots: dict[int, Slot] = {}
        self._undrafted: set[int] = set()

    def propose(self, sequences: Sequence[TextSequence]) -> None:
        """See Drafter. All its rows go through the small network together, one token after the other."""
        drafted = [one for one in sequences if one.sequence_id not in self._undrafted]
        try:
            self._propose(drafted)
        except Exception:  # noqa: BLE001 - whatever it is, no text ends for it
            # Proposals are no part of the text: what is in the slots of a pass that failed is not known, so they go.
            _LOG.exception("event=draft_failed texts=%d", len(drafted))
            for sequence in drafted:
                sequence.proposed = []
                self.forget(sequence)
                sequence.undrafted = True
                self._undrafted.add(sequence.sequence_id)

    def _propose(self, sequences: Sequence[TextSequence]) -> None:
        ready: list[tuple[TextSequence, Slot]] = []
        left = self._chunk
        for sequence in sequences:
            slot = self._slot(sequence)
            sequence.undrafted |= slot is None
            if slot is None or not room(sequence):
                continue
            known = [*sequence.prompt.tokens, *sequence.made]
            slot.truncate(min(slot.length, len(known) - 1))
            if len(known) - slot.length > _UNREAD_MAX:
                unread = known[slot.length : min(slot.length + left, len(known) - 1)]
                if unread:
                    left -= len(unread)
                    row = Row(slot=slot, tokens=unread, wanted=0)
                    compute_pass(self._network, self._pool, [row], padded_width(len(unread)), self._device)
            if len(known) - slot.length <= _UNREAD_MAX:
                sequence.proposed = []
                ready.append((sequence, slot))
        for _ in range(max((room(sequence) for sequence, _ in ready), default=0)):
            going = [(one, slot) for one, slot in ready if len(one.proposed) < room(one)]
            rows = [
                Row(slot=slot, tokens=[*one.prompt.tokens, *one.made, *one.proposed][slot.length :])
                for one, slot in going
            ]
            new = padded_width(max(len(row.tokens) for row in rows))
            logits = compute_pass(self._network, self._pool, rows, new, self._device)
            if logits is not None:
                for (one, _), token in zip(going, logits.argmax(-1).tolist(), strict=True):
                    one.proposed.append(token)

    def forget(self, sequence: TextSequence) -> None:
        """Free its cache."""
        self._undrafted.discard(sequence.sequence_id)
        if slot := self._slots.pop(sequence.sequence_id, None):
            slot.close()

    def _slot(self, sequence: TextSequence) -> Slot | None:
        if sequence.prompt.lead is not None or sequence.capacity > self._network.context_length:
            return None
        slot = self._slots.get(sequence.sequence_id)
        if slot is None and self._pool.bytes_for(sequence.capacity) <= self._pool.free_bytes:
            slot = self._slots[sequence.sequence_id] = self._pool.open(sequence.capacity, (), 0)
        return slot
