"""From an origin to a generator, in the worker: threads, device, cache budget, drafters. Called by `text.api`."""

from __future__ import annotations

import gc
import logging
import math
import time
from dataclasses import replace
from typing import Final

import torch

from atheria_server.core.attention_choice import AUTOMATIC, FLASH
from atheria_server.core.cache_precision import CachePrecision
from atheria_server.core.cache_report import CacheReport
from atheria_server.core.cache_share import cache_share_bytes, draft_share_bytes
from atheria_server.core.errors import PRECISION_UNSUPPORTED, ModelRefusedError
from atheria_server.models.text.attention import can_flash, rule_of
from atheria_server.models.text.cache.golden import continue_texts
from atheria_server.models.text.cache.pool import CachePool
from atheria_server.models.text.cache.settling import Settled, settle
from atheria_server.models.text.causal import CausalModel
from atheria_server.models.text.drafts import Drafter, ModelDrafter, NgramDrafter
from atheria_server.models.text.generator import Generator
from atheria_server.models.text.options import DRAFT_TOKENS_MAX
from atheria_server.models.text.origin import Loaded, Origin
from atheria_server.models.text.passes import OnePass
from atheria_server.models.text.pieces import Decode
from atheria_server.models.text.scheduling import SchedulePolicy
from atheria_server.models.text.settings import TextSettings, TextSettingsError

_LOG = logging.getLogger("atheria.text")
HOST_CACHE_BYTES: Final = 1 << 30
"""Of the cache on the CPU, where nothing is set."""
GOLDEN_TEXTS: Final = 40
GOLDEN_TOKENS: Final = 16
"""On each of so many texts so many tokens at most, to measure a compressed cache."""
_UNBOUNDED: Final = 2**62
TIMED_STEPS: Final = 5
TIMED_ROWS: Final = 4


def loaded_network(origin: Origin, settings: TextSettings, device: str) -> Loaded:
    """The network on `device`, in evaluation mode."""
    if settings.threads:
        torch.set_num_threads(settings.threads)
    loaded = origin.load(device)
    if device == "cpu" and not settings.threads:
        choose_threads(loaded.network)
    return loaded


def choose_threads(network: CausalModel) -> int:
    """Compute with one thread where more are no faster: they wait for each other at every operation, and a small network has
    many small ones. Each way is timed TIMED_STEPS times, in turn, on one token for each of TIMED_ROWS sequences."""
    every = torch.get_num_threads()
    if every == 1:
        return 1
    tokens = torch.zeros(TIMED_ROWS, 1, dtype=torch.int64)
    best = dict.fromkeys((1, every), math.inf)
    with torch.inference_mode():
        for _ in range(TIMED_STEPS):
            for threads in best:
                torch.set_num_threads(threads)
                began = time.perf_counter()
                hidden = network.forward(network.embed(tokens, tokens), tokens, None, OnePass())
                network.logits(hidden)
                best[threads] = min(best[threads], time.perf_counter() - began)
    chosen = 1 if best[1] <= best[every] else every
    torch.set_num_threads(chosen)
    _LOG.info(
        "event=text_threads chosen=%d of=%d seconds_with_one=%.6f seconds_with_all=%.6f",
        *(chosen, every, best[1], best[every]),
    )
    return chosen


def new_generator(
    loaded: Loaded,
    settings: TextSettings,
    *,
    context_length: int,
    decode: Decode | None,
    device: str,
    workers: int = 1,
) -> Generator:
    """An empty running batch; `workers` share the device. Raises TextSettingsError for a cache that cannot hold one whole context."""
    network, draft = loaded.network, loaded.draft
    settled = _settled(loaded, settings, context_length, device)
    wanted, settings = settings, replace(settings, cache=settled.settings)
    budget = settings.cache_bytes or _default_bytes(device, workers)
    drafters: dict[str, Drafter] = {"ngram": NgramDrafter()}
    of_draft = 0
    try:
        if draft is not None:
            of_draft = _draft_bytes(network, draft, settings, budget, context_length)
            draft_pool = _draft_pool(draft, settings, of_draft, context_length, device)
            drafters["draft"] = ModelDrafter(
                draft, draft_pool, chunk=settings.prompt_tokens_per_step, device=device
            )
        pool = _pool(
            *(network, settings, budget - of_draft, context_length, device), keeps=settings.prefix_cache
        )
    except ValueError as error:
        parts = f" (of {budget} bytes the draft's cache has {of_draft})" if of_draft else ""
        raise TextSettingsError(
            f"{error}{parts}; the parameters are cache_bytes, context_length and kv_precision"
        ) from error
    _LOG.info(
        "event=text_ready context_tokens=%d cache_bytes=%d draft_cache_bytes=%d bytes_per_token=%d places=%d",
        *(context_length, budget, of_draft, network.cache_shape.bytes_per_token, settings.places),
    )
    policy = SchedulePolicy(
        places=settings.places,
        cache_bytes=pool.budget_bytes,
        prompt_tokens_per_step=settings.prompt_tokens_per_step,
    )
    generator = Generator(
        network,
        pool,
        policy=policy,
        decode=decode,
        device=device,
        drafters=drafters,
        rule=rule_of(settings.attention),
    )
    precision = settings.cache.precision
    generator.cache_report = CacheReport(
        wanted=wanted.cache.precision,
        precision=precision,
        recent_window=settings.cache.recent_window,
        budget=settings.error_budget,
        drift=settled.drifts.get(precision),
        reasons=settled.reasons,
    )
    return generator


def check_attention(network: CausalModel, settings: TextSettings, device: str) -> None:
    """Raises ModelRefusedError where flash is asked for, and the network or the device has none for its heads."""
    if settings.attention != FLASH:
        return
    if network.has_own_attention:
        raise ModelRefusedError(
            PRECISION_UNSUPPORTED,
            f"parameter attention is {FLASH!r}, and this network does to its scores what no kernel of torch does: set it to {AUTOMATIC}",
        )
    shape = network.cache_shape
    if can_flash(device, shape.dtype, shape.head_size):
        return
    dtype = str(shape.dtype).removeprefix("torch.")
    raise ModelRefusedError(
        PRECISION_UNSUPPORTED,
        f"parameter attention is {FLASH!r}, and torch has no such kernel on {device} for heads of {shape.head_size} numbers in "
        f"{dtype}: set precision.policy or the parameter dtype to bf16 or fp16, or attention to {AUTOMATIC}",
    )


def _settled(loaded: Loaded, settings: TextSettings, context_length: int, device: str) -> Settled:
    """Step back from a compressed cache that changes too much of what the network, with the weights that it has now, says."""
    wanted = settings.cache
    if wanted.precision is CachePrecision.FULL:
        return Settled(settings=wanted, drifts={}, reasons=())
    most = min(context_length, loaded.network.context_length) - GOLDEN_TOKENS
    length = min(wanted.recent_window + 2 * wanted.group_tokens, most)
    with torch.inference_mode():
        texts = continue_texts(
            loaded.network, loaded.beginnings(GOLDEN_TEXTS, max(1, length)), GOLDEN_TOKENS, device
        )
        return settle(loaded.network, texts, wanted, settings.error_budget, device)


def _pool(
    network: CausalModel,
    settings: TextSettings,
    budget_bytes: int,
    context_length: int,
    device: str,
    *,
    keeps: bool,
    undone_tokens: int = 0,
) -> CachePool:
    """Raises ValueError for a budget that does not hold one whole context."""
    return CachePool(
        network.cache_shape,
        budget_bytes,
        context_length=min(context_length, network.context_length),
        settings=settings.cache,
        prefix_bytes=None if keeps else 0,
        step_tokens=max(settings.prompt_tokens_per_step, 1 + DRAFT_TOKENS_MAX),
        undone_tokens=undone_tokens,
        device=device,
    )


def _draft_pool(
    draft: CausalModel, settings: TextSettings, budget_bytes: int, context_length: int, device: str
) -> CachePool:
    """A draft computes one step for each token that it proposes, and all of them may be wrong."""
    return _pool(
        *(draft, settings, budget_bytes, context_length, device), keeps=False, undone_tokens=DRAFT_TOKENS_MAX
    )


def _draft_bytes(
    network: CausalModel, draft: CausalModel, settings: TextSettings, budget_bytes: int, context_length: int
) -> int:
    """What of the budget is the draft's. Pools without a bound say what texts take; they allocate nothing."""
    pool = _pool(network, settings, _UNBOUNDED, context_length, "cpu", keeps=False)
    draft_pool = _draft_pool(draft, settings, _UNBOUNDED, context_length, "cpu")
    lengths = range(1, min(pool.context_length, draft_pool.context_length) + 1, settings.cache.group_tokens)
    sizes = ((pool.bytes_for(tokens), draft_pool.bytes_for(tokens)) for tokens in lengths)
    return draft_share_bytes(budget_bytes, sizes)


def _default_bytes(device: str, workers: int) -> int:
    if not device.startswith("cuda"):
        return HOST_CACHE_BYTES
    # What is freed (weights before they were narrowed, an earlier cache) counts as taken until torch gives it back.
    gc.collect()
    torch.cuda.empty_cache()
    free, total = torch.cuda.mem_get_info(device)
    own = torch.cuda.memory_reserved(device)
    return cache_share_bytes(total_bytes=total, free_bytes=free, own_bytes=own, workers=workers)
