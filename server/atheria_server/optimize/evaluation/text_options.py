"""Measures what each option of the runtime `text` is worth, alone and with the others: the same texts with and without it.

An option is on where the configuration asks for more than the plainest way to serve: narrower weights, a compressed cache, attention without
the matrix of all scores, beginnings that are used again, texts made together, tokens that are proposed. Called by `evaluate`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from atheria_contract.serving import ServingConfig
from atheria_server.core.attention_choice import STANDARD
from atheria_server.core.cache_precision import CachePrecision, CacheSettings
from atheria_server.core.checklist import Checklist, checked, lines_of_quality
from atheria_server.core.optimization_metrics import (
    COMBINED,
    OptimizationMetrics,
    OptionRun,
    compare,
    figures,
    lines,
)
from atheria_server.models.text.api import TextApi
from atheria_server.models.text.cache.golden import Beginning
from atheria_server.models.text.generator import Generator
from atheria_server.models.text.sequence import Prompt
from atheria_server.models.text.settings import TextSettings
from atheria_server.models.text.start import new_generator
from atheria_server.optimize.evaluation.variants import Variant, as_written, build_variant, for_measuring
from atheria_server.optimize.profiling.rounds import CLOCKS, interleaved, load_average

LOSS: Final = "tokens that differ"
NONE: Final = "none"
WEIGHTS: Final = "weights"
BEGINNINGS: Final = 4
"""Different ones, each asked for by as many callers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextWork:
    """What is generated in a round."""

    callers: int
    """At once."""
    prompt_tokens: int
    """Of each prompt, about; less where the context is shorter."""
    new_tokens: int
    """Of each text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextMeasured:
    """All runs of the same rounds."""

    runs: tuple[OptionRun, ...]
    """None of the options, each alone, then all together where there are two or more."""
    variant: Variant
    """With the weights that are asked for."""
    load_average: float

    @property
    def metrics(self) -> tuple[OptimizationMetrics, ...]:
        """Of each option, and of all together."""
        off, *others = self.runs
        return tuple(compare(off, one) for one in others)


def plain(settings: TextSettings) -> TextSettings:
    """Every option of the settings off."""
    return replace(
        settings,
        cache=CacheSettings(),
        attention=STANDARD,
        prefix_cache=False,
        places=1,
        defaults=replace(settings.defaults, speculation="off"),
    )


def options_on(settings: TextSettings) -> dict[str, Callable[[TextSettings], TextSettings]]:
    """By name the options that are on, each as what it changes in settings without it."""
    found: dict[str, Callable[[TextSettings], TextSettings]] = {}
    if settings.cache.precision is not CachePrecision.FULL:
        found["kvCache"] = lambda one: replace(one, cache=settings.cache)
    if settings.attention != STANDARD:
        found["attention"] = lambda one: replace(one, attention=settings.attention)
    if settings.prefix_cache:
        found["prefixReuse"] = lambda one: replace(one, prefix_cache=True)
    if settings.places > 1:
        found["continuousBatching"] = lambda one: replace(one, places=settings.places)
    if settings.defaults.speculation != "off":
        found["speculation"] = lambda one: replace(
            one,
            defaults=replace(
                one.defaults,
                speculation=settings.defaults.speculation,
                draft_tokens=settings.defaults.draft_tokens,
            ),
        )
    return found


class Service:
    """One way to serve, which makes all texts again and again; beginnings stay from round to round."""

    def __init__(self, api: TextApi, settings: TextSettings, device: str, work: TextWork) -> None:
        self._generator: Generator = new_generator(
            api.loaded, settings, context_length=api.context_length, decode=None, device=device
        )
        self._prompts = list(_prompts(api, work))
        self._options = replace(
            settings.defaults,
            temperature=0.0,
            ignore_end=True,
            max_new_tokens=min(work.new_tokens, *(api.context_length - one.length for one in self._prompts)),
        )
        self.texts: tuple[tuple[int, ...], ...] = ()
        """Of the last time."""
        self.cache_bytes = 0
        """Keys and values, at their most so far."""

    def __call__(self) -> None:
        """Make all texts; their callers come at once."""
        asked = [self._generator.add(one, self._options, streaming=False) for one in self._prompts]
        while self._generator.has_work:
            self._generator.step()
            used = self._generator.report()["cache_used_bytes"]
            self.cache_bytes = max(self.cache_bytes, int(str(used)))
        self.texts = tuple(next(frames).tokens for frames in asked)


def measure_options(
    config: ServingConfig, device: str, *, rounds: int, clock: str, work: TextWork
) -> TextMeasured:
    """Time all ways in interleaved rounds. Raises SourceError, ModelRefusedError, and what the network raises."""
    before = load_average()
    config = for_measuring(config, 1)
    written = build_variant(as_written(config), device)
    narrow = config.precision.policy != "fp32"
    variant = build_variant(config, device) if narrow else written
    services: dict[str, Service] = {}
    weights: dict[str, Variant] = {}

    def add(name: str, with_weights: Variant, settings: TextSettings) -> None:
        services[name] = Service(with_weights.loaded.api, settings, device, work)
        weights[name] = with_weights

    wanted: TextSettings = written.loaded.api.settings
    add(NONE, written, plain(wanted))
    if narrow:
        add(WEIGHTS, variant, plain(wanted))
    for name, switched in options_on(wanted).items():
        add(name, written, switched(plain(wanted)))
    if len(services) > 2:
        add(COMBINED, variant, wanted)
    timed = interleaved(services, rounds, sample_seconds=0.0, clock=CLOCKS[clock])
    return TextMeasured(
        runs=tuple(
            OptionRun(
                name=name,
                timings=timed[name],
                bytes=service.cache_bytes + int(weights[name].report["weight_bytes"] or 0),
                texts=service.texts,
            )
            for name, service in services.items()
        ),
        variant=variant,
        load_average=before,
    )


def evaluate_text(
    config: ServingConfig,
    device: str,
    *,
    rounds: int,
    clock: str,
    work: TextWork,
    most_loss: float | None = None,
) -> Checklist:
    """The report of `evaluate` for a text model, which fails where all options together lose more than `most_loss`; see
    `measure_options` for what it raises."""
    measured = measure_options(config, device, rounds=rounds, clock=clock, work=work)
    quality: Mapping[str, object] = measured.variant.report["quality"]
    last = measured.runs[-1]
    tokens = sum(map(len, last.texts))
    rate = tokens / last.timings.median
    return Checklist(
        subject=f"{config.source}, {work.callers} texts at once, precision {config.precision.policy}, {device}",
        lines=(
            *lines_of_quality(
                quality["measurements"],  # type: ignore[arg-type]
                passed=quality["passed"],  # type: ignore[arg-type]
                message=str(quality["message"] or quality["reason"]),
            ),
            checked(
                "throughput",
                rate,
                None,
                better="higher",
                unit="tokens/s",
                note=f"options: {last.name}; load average {measured.load_average:.1f}",
            ),
            *lines(measured.metrics, loss=LOSS, note="of greedy texts", most_loss=most_loss),
        ),
        figures={
            "precision": config.precision.policy,
            "tokensPerSecond": round(rate, 1),
            **figures(measured.metrics, most_loss=most_loss),
        },
    )


def _prompts(api: TextApi, work: TextWork) -> Iterator[Prompt]:
    most = min(work.prompt_tokens, api.context_length - work.new_tokens)
    found = [_prompt(one, -1 - at) for at, one in enumerate(api.loaded.beginnings(BEGINNINGS, max(1, most)))]
    for caller in range(work.callers):
        yield found[caller % len(found)]


def _prompt(beginning: Beginning, number: int) -> Prompt:
    if beginning.lead is None:
        return Prompt(tokens=tuple(beginning.tokens))
    covered = len(beginning.lead)
    # Below 0 and not those of another beginning, as a lead's numbers have to be.
    content = tuple(number - BEGINNINGS * place for place in range(covered))
    return Prompt(tokens=tuple(beginning.tokens[covered:]), lead=beginning.lead, lead_content=content)
