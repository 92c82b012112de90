"""Long passes use a kernel that keeps no matrix of scores, and never flash with a mask on CUDA; results are the same."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from atheria_server.core.attention_choice import CHOICES
from atheria_server.core.errors import ModelRefusedError
from atheria_server.models.text import passes, start
from atheria_server.models.text.attention import (
    AttentionKernel,
    AttentionRule,
    attending_by,
    can_flash,
    choose_kernel,
    rule_of,
)
from atheria_server.models.text.settings import TextSettings, TextSettingsError, parse_text_settings
from atheria_server.optimize.loaded import load_model
from tests.unit.server.models.text.tiny import TinyNetwork

LITERAL = AttentionRule(below=AttentionKernel.STANDARD)


@pytest.mark.parametrize(
    ("keys", "masked", "device", "rule", "kernel"),
    [
        (511, False, "cpu", AttentionRule(), AttentionKernel.AUTOMATIC),
        (511, True, "cuda", LITERAL, AttentionKernel.STANDARD),
        (512, False, "cpu", LITERAL, AttentionKernel.FLASH),
        (512, True, "cpu", AttentionRule(), AttentionKernel.FLASH),
        (4096, False, "cuda", AttentionRule(), AttentionKernel.FLASH),
        (4096, True, "cuda", AttentionRule(), AttentionKernel.EFFICIENT),
        (1, False, "cpu", AttentionRule(fused_from_tokens=0), AttentionKernel.FLASH),
    ],
)
def test_the_kernel_follows_length_mask_and_device(
    keys: int, masked: bool, device: str, rule: AttentionRule, kernel: AttentionKernel
) -> None:
    assert choose_kernel(keys=keys, masked=masked, device=device, rule=rule) is kernel


@pytest.mark.parametrize("masked", [False, True])
def test_every_kernel_computes_the_same(masked: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    queries = torch.randn(1, 4, 70, 16, generator=generator)
    keys, values = torch.randn(2, 1, 2, 70, 16, generator=generator)
    mask = torch.ones(70, 70, dtype=torch.bool).tril() if masked else None
    found = []
    for kernel in AttentionKernel:
        with attending_by(kernel):
            found.append(
                scaled_dot_product_attention(
                    queries, keys, values, attn_mask=mask, is_causal=not masked, enable_gqa=True
                )
            )
    assert all(torch.allclose(found[0], other, atol=1e-5) for other in found[1:])


def test_a_kernel_that_cannot_take_the_tensors_gives_way_to_one_that_can() -> None:
    queries = torch.randn(1, 1, 4, 8, dtype=torch.float64)
    bias = torch.randn(4, 4, dtype=torch.float64, requires_grad=True)
    with attending_by(AttentionKernel.FLASH):
        assert scaled_dot_product_attention(queries, queries, queries, attn_mask=bias).isfinite().all()


def test_rules_that_mean_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="fused_from_tokens is -1"):
        AttentionRule(fused_from_tokens=-1)
    with pytest.raises(ValueError, match="set fused_from_tokens to 0"):
        AttentionRule(below=AttentionKernel.FLASH)


@pytest.mark.parametrize(
    ("wanted", "keys", "kernel"),
    [
        ("automatic", 511, AttentionKernel.AUTOMATIC),
        ("automatic", 512, AttentionKernel.FLASH),
        ("standard", 1_000_000, AttentionKernel.STANDARD),
        ("flash", 1, AttentionKernel.FLASH),
    ],
)
def test_what_a_person_asks_for_goes_before_the_length(
    wanted: str, keys: int, kernel: AttentionKernel
) -> None:
    assert choose_kernel(keys=keys, masked=False, device="cpu", rule=rule_of(wanted)) is kernel


def test_every_choice_has_a_rule_and_is_a_parameter() -> None:
    assert {parse_text_settings({"attention": one}).attention for one in CHOICES} == set(CHOICES)
    assert len({rule_of(one) for one in CHOICES}) == len(CHOICES)
    with pytest.raises(TextSettingsError, match="attention is 'fast'; allowed: automatic, standard, flash"):
        parse_text_settings({"attention": "fast"})


def test_whether_flash_takes_heads_is_found_out_by_trying() -> None:
    assert can_flash("cpu", torch.bfloat16, 64)
    assert not can_flash("cpu", torch.int8, 64)


def test_a_device_without_flash_is_refused_with_the_next_step(monkeypatch: pytest.MonkeyPatch) -> None:
    network = TinyNetwork()
    start.check_attention(network, TextSettings(attention="flash"), "cpu")
    monkeypatch.setattr(start, "can_flash", lambda *_: False)
    start.check_attention(network, TextSettings(attention="standard"), "cpu")
    with pytest.raises(
        ModelRefusedError, match=r"attention is 'flash'.* on cpu .*float32: set precision"
    ) as told:
        start.check_attention(network, TextSettings(attention="flash"), "cpu")
    assert told.value.reason == "PrecisionUnsupported"


def test_the_served_network_attends_as_was_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = set()
    choose = passes.choose_kernel

    def seen(**given: object) -> AttentionKernel:
        rules.add(given["rule"])
        return choose(**given)  # type: ignore[arg-type]

    monkeypatch.setattr(passes, "choose_kernel", seen)
    loaded = load_model("builtin://sceneline", {"attention": "standard", "cache_bytes": "64Mi", "threads": 1})
    loaded.compute(loaded.api.warmup_calls((), 1)[0])
    assert rules == {rule_of("standard")}
