"""The running batch: every text that is being made, one step at a time. Lives in the worker, driven by `engine.worker`.

Scheduling is `text.scheduling` (pure), computing is `text.passes`, memory is `text.pool`. Nothing here waits: `step` makes at
most one token for each sequence (more where tokens were proposed), and callers take what there is from `TextFrames`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from typing import Final

import torch
from torch import Tensor

from atheria_server.core.cache_report import CacheReport
from atheria_server.core.errors import FullError
from atheria_server.engine.out_of_memory import is_out_of_memory
from atheria_server.models.text.attention import DEFAULT_RULE, AttentionRule
from atheria_server.models.text.causal import CausalModel
from atheria_server.models.text.counts import TextCounts
from atheria_server.models.text.drafts import Drafter
from atheria_server.models.text.options import GenerationOptions
from atheria_server.models.text.passes import Row, compute_pass
from atheria_server.models.text.pieces import Decode, TextPieces
from atheria_server.models.text.pool import CachePool
from atheria_server.models.text.sampling import Sampler
from atheria_server.models.text.scheduling import (
    Pass,
    RunningSequence,
    SchedulePolicy,
    WaitingSequence,
    admissible,
    count_passes,
    plan_step,
)
from atheria_server.models.text.sequence import Prompt, TextFrames, TextSequence

_LOG = logging.getLogger("atheria.text")
_NO_MEMORY: Final = (
    "the device is out of memory, even without what was kept of earlier calls: send the call again when fewer texts are made, "
    "or lower the model's parameters places, prompt_tokens_per_step or cache_bytes"
)
_NO_DRAFTERS: Final[dict[str, Drafter]] = {}


class Generator:
    """All texts of one network."""

    def __init__(
        self,
        network: CausalModel,
        pool: CachePool,
        *,
        policy: SchedulePolicy,
        decode: Decode | None,
        device: str = "cpu",
        drafters: dict[str, Drafter] = _NO_DRAFTERS,
        rule: AttentionRule = DEFAULT_RULE,
    ) -> None:
        """`decode` = text of tokens, None where the model has none; `drafters` by the word of `options.speculation`; `rule` chooses
        the kernel of attention."""
        self._network = network
        self.cache_shape = network.cache_shape
        """That the cache was made for."""
        self._pool = pool
        self._policy = replace(policy, cache_bytes=pool.budget_bytes)
        self._decode = decode
        self._device = device
        self._drafters = drafters
        self._rule = rule
        self._waiting: dict[int, TextSequence] = {}
        self._running: dict[int, TextSequence] = {}
        self._ids = count(1)
        self._counts = TextCounts(cache_budget_bytes=pool.budget_bytes)
        self.steps = 0
        """So far."""
        self.cache_report: CacheReport | None = None
        """What the error budget made of the cache that was asked for; set by `text.start`."""

    @property
    def has_work(self) -> bool:
        """Whether `step` would do anything."""
        return bool(self._waiting or self._running)

    def add(self, prompt: Prompt, options: GenerationOptions, *, streaming: bool) -> TextFrames:
        """A new text; its first token may come with the next step. Raises ValueError if it can never fit the cache."""
        sequence = TextSequence(
            sequence_id=next(self._ids),
            prompt=prompt,
            options=options,
            end_tokens=self._network.end_tokens,
            pieces=TextPieces(self._decode, options.stop),
            streaming=streaming,
            arrived_step=self.steps,
        )
        sequence.cache_bytes = self._pool.bytes_for(sequence.capacity)
        if sequence.cache_bytes > self._policy.cache_bytes:
            raise ValueError(
                f"prompt and max_new_tokens are {sequence.capacity} tokens, which take {sequence.cache_bytes} bytes of cache; "
                f"there are {self._policy.cache_bytes}"
            )
        self._waiting[sequence.sequence_id] = sequence
        return TextFrames(sequence, self._cancel)

    def forget_prefixes(self) -> None:
        """Later texts use nothing again of those so far."""
        self._pool.forget_prefixes()

    def step(self) -> None:
        """Let in who fits, and make one token for each sequence whose prompt is read."""
        self.steps += 1
        self._counts.steps += 1
        with torch.inference_mode():
            self._admit()
            for drafter in self._drafters.values():
                drafter.propose([one for one in self._running.values() if self._drafted_by(one) is drafter])
            for planned in plan_step([_running(one) for one in self._running.values()], self._policy):
                self._compute(planned)

    def report(self) -> dict[str, object]:
        """Counts for the metrics, as JSON; see `TextCounts`."""
        self._counts.active_sequences = len(self._running)
        self._counts.waiting_sequences = len(self._waiting)
        self._counts.cache_used_bytes = self._pool.used_bytes
        return self._counts.report()

    def _admit(self) -> None:
        waiting = [
            WaitingSequence(sequence_id=one.sequence_id, cache_bytes=one.cache_bytes, passed=one.passed)
            for one in self._waiting.values()
        ]
        if not waiting:
            return
        used = self._pool.budget_bytes - self._pool.free_bytes
        entered = admissible(waiting, self._policy, running=len(self._running), used_bytes=used)
        for sequence_id, times in count_passes(waiting, entered).items():
            self._waiting[sequence_id].passed += times
        for sequence_id in entered:
            sequence = self._waiting[sequence_id]
            if sequence.cache_bytes > self._pool.free_bytes:
                break  # a beginning that is used again may take more at first: with a later step
            del self._waiting[sequence_id]
            try:
                self._enter(sequence)
            except Exception as error:  # noqa: BLE001 - whatever it is, its caller must learn it
                _LOG.exception("event=text_not_begun prompt_tokens=%d", sequence.prompt.length)
                sequence.failure = error

    def _enter(self, sequence: TextSequence) -> None:
        prompt = sequence.prompt
        sequence.slot = self._pool.open(sequence.capacity, prompt.content, prompt.length - 1)
        sequence.reused = sequence.slot.length
        self._running[sequence.sequence_id] = sequence
        self._counts.prompt_tokens += prompt.length
        self._counts.reused_tokens += sequence.reused

    def _compute(self, planned: Pass) -> None:
        sequences = [self._running[sequence_id] for sequence_id, _ in planned.rows]
        rows = [_row(one, real) for one, (_, real) in zip(sequences, planned.rows, strict=True)]
        try:
            logits = self._logits(rows, planned.new)
            sampler = None if logits is None else Sampler(logits)
            at = 0
            for sequence, row in zip(sequences, rows, strict=True):
                if row.wanted and sampler is not None:
                    self._accept(sequence, sampler, at)
                    at += row.wanted
        except Exception as error:  # noqa: BLE001 - as above
            # Its rows cannot go on: what is in their slots is not known. Others are not concerned.
            _LOG.exception("event=pass_failed rows=%d new=%d", len(rows), planned.new)
            failure = FullError(_NO_MEMORY) if is_out_of_memory(error) else error
            for sequence in sequences:
                sequence.failure = sequence.failure or failure
        for sequence in sequences:
            if sequence.done:
                self._end(sequence)

    def _logits(self, rows: Sequence[Row], new: int) -> Tensor | None:
        """See `compute_pass`. Where memory is short, once more without what is kept for later calls."""
        before = [row.slot.length for row in rows]
        try:
            return compute_pass(self._network, self._pool, rows, new, self._device, rule=self._rule)
        except Exception as error:
            is_committed = [row.slot.length for row in rows] != before
            if not is_out_of_memory(error) or is_committed or not self._pool.abandon_step():
                raise
        # Outside of the handler: the exception held on to what the failed attempt had allocated.
        _LOG.warning("event=pass_again reason=out_of_memory rows=%d new=%d", len(rows), new)
        self._pool.forget_prefixes()
        self._pool.trim()
        torch.cuda.empty_cache()
        return compute_pass(self._network, self._pool, rows, new, self._device, rule=self._rule)

    def _accept(self, sequence: TextSequence, sampler: Sampler, at: int) -> None:
        """The next token, and those that were proposed and are right; `at` = the sequence's first position in the logits."""
        proposed, before = sequence.proposed, len(sequence.made)
        sequence.proposed = []
        sequence.target_calls += 1
        for index in range(len(proposed) + 1):
            sampled = sampler.token(at + index, sequence.options, sequence.generator)
            sequence.accept(sampled, self.steps)
            if sequence.done or index == len(proposed) or sampled.token != proposed[index]:
                break
        made = len(sequence.made) - before
        if before == 0:
            self._counts.observe(self._counts.first_token_seconds, sequence.first_token_seconds)
        sequence.drafted += len(proposed)
        sequence.accepted += made - 1
        self._counts.generated_tokens += made
        self._counts.drafted_tokens += len(proposed)
        self._counts.accepted_tokens += made - 1
        if proposed and sequence.slot is not None:
            # Without the last token, which is fed next; what was proposed and is not right goes.
            sequence.slot.truncate(sequence.prompt.length + len(sequence.made) - 1)

    def _end(self, sequence: TextSequence) -> None:
        del self._running[sequence.sequence_id]
        if (made := len(sequence.made)) > 1:
            seconds = time.monotonic() - sequence.arrived_at - sequence.first_token_seconds
            self._counts.observe(self._counts.token_seconds, seconds / (made - 1))
        self._free(sequence, sequence.content() if sequence.failure is None else ())

    def _cancel(self, sequence: TextSequence) -> None:
        """Its caller is gone; does nothing for a text that has ended."""
        if self._waiting.pop(sequence.sequence_id, None) is None and (
            self._running.pop(sequence.sequence_id, None) is not None
        ):
            self._free(sequence, ())

    def _free(self, sequence: TextSequence, content: Sequence[int]) -> None:
        self._counts.undrafted_texts += sequence.undrafted
        if drafter := self._drafted_by(sequence):
            drafter.forget(sequence)
        if sequence.slot is not None:
            slot, sequence.slot = sequence.slot, None
            slot.close(content)

    def _drafted_by(self, sequence: TextSequence) -> Drafter | None:
        return self._drafters.get(sequence.options.speculation)


def _running(sequence: TextSequence) -> RunningSequence:
    return RunningSequence(
        sequence_id=sequence.sequence_id,
        prompt_left=sequence.prompt_left,
        length=sequence.slot.held if sequence.slot else 0,
        proposed=len(sequence.proposed),
    )


def _row(sequence: TextSequence, real: int) -> Row:
    """`real` new tokens: the next of its prompt, or its last one and those that were proposed."""
    slot = sequence.slot
    if slot is None:
        raise RuntimeError(f"sequence {sequence.sequence_id} is computed without a slot")
    if sequence.prompt_left == 0:
        return Row(slot=slot, tokens=sequence.fed(), wanted=real)
    prompt, start = sequence.prompt, slot.length
    end = start + real
    lead = None if prompt.lead is None or start >= prompt.lead_length else prompt.lead[start:end]
    covered = 0 if lead is None else len(lead)
    text_start = start + covered - prompt.lead_length
    tokens = (
        [*[0] * covered, *prompt.tokens[text_start : end - prompt.lead_length]]
        if end > prompt.lead_length
        else [0] * real
    )
    return Row(slot=slot, tokens=tokens, lead=lead, wanted=int(end == prompt.length))
