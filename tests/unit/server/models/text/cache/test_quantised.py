"""No element of a compressed block is off by more than half a step, whatever its values."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from atheria_server.core.cache_precision import CachePrecision, CacheSettings
from atheria_server.models.text.cache.quantised import Scheme, schemes
from atheria_server.models.text.causal import CacheShape

COMPRESSED = (CachePrecision.INT8, CachePrecision.INT4, CachePrecision.INT2)


def both(precision: CachePrecision, head_size: int = 16, **grouping: int) -> tuple[Scheme, Scheme]:
    shape = CacheShape(layers=1, kv_heads=2, head_size=head_size, dtype=torch.float32)
    window = grouping.get("group_tokens", 8)
    return schemes(shape, CacheSettings(precision=precision, recent_window=window, **grouping))


def steps_of(scheme: Scheme, stored: tuple[torch.Tensor, ...], shape: torch.Size) -> torch.Tensor:
    """The stored step of every element."""
    steps = stored[1].float()
    for dimension in (-2, -1):
        steps = steps.repeat_interleave(shape[dimension] // steps.shape[dimension], dimension)
    return steps


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(COMPRESSED),
    st.integers(0, 2**32),
    st.sampled_from((1e-6, 1e-3, 1.0, 30.0, 5e2)),
    st.sampled_from((0.0, 1.0, -40.0)),
    st.sampled_from((4, 8, 16)),
)
def test_an_element_is_off_by_half_a_step_at_most(
    precision: CachePrecision, seed: int, spread: float, offset: float, channels: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    exact = (torch.randn(3, 2, 8, 16, generator=generator) + offset) * spread
    for scheme in both(precision, group_tokens=8, group_channels=channels):
        stored = scheme.pack(exact)
        assert [tuple(part.shape[2:]) for part in stored] == [plane.tail for plane in scheme.planes]
        assert [part.dtype for part in stored] == [plane.dtype for plane in scheme.planes]
        restored = torch.full_like(exact, torch.nan)
        scheme.unpack(stored, restored)
        rounding = exact.abs() * 1e-6
        assert ((restored - exact).abs() <= steps_of(scheme, stored, exact.shape) / 2 + rounding).all()


def test_steps_are_no_longer_than_the_range_needs() -> None:
    exact = torch.randn(4, 2, 8, 16, generator=torch.Generator().manual_seed(3))
    spans = {
        CachePrecision.INT8: (exact.abs().amax(-1) * 2 / 254, exact.abs().amax(-1) * 2 / 254),
        CachePrecision.INT4: ((exact.amax(-2) - exact.amin(-2)) / 15, (exact.amax(-1) - exact.amin(-1)) / 15),
        CachePrecision.INT2: ((exact.amax(-2) - exact.amin(-2)) / 3, (exact.amax(-1) - exact.amin(-1)) / 3),
    }
    for precision, needed in spans.items():
        for scheme, span in zip(both(precision, group_tokens=8), needed, strict=True):
            steps = scheme.pack(exact)[1].float().view(span.shape)
            assert (steps >= span * 0.999).all()
            assert (steps <= span * 1.01 + 1e-3).all()


def test_keys_have_a_step_per_channel_and_values_per_token() -> None:
    keys, values = both(CachePrecision.INT4, group_tokens=8, group_channels=16)
    loud_channel = torch.zeros(1, 2, 8, 16)
    loud_channel[..., 5] = torch.linspace(-100, 100, 8)
    loud_channel[..., 6] = torch.linspace(-1, 1, 8)
    for scheme, near in ((keys, True), (values, False)):
        restored = torch.empty_like(loud_channel)
        scheme.unpack(scheme.pack(loud_channel), restored)
        assert (float((restored - loud_channel)[..., 6].abs().max()) < 0.1) is near


def test_what_float16_cannot_hold_is_cut_off_and_stays_finite() -> None:
    exact = torch.tensor([1e9, -1e9, 0.0, 1.0]).repeat(1, 2, 8, 4)
    for precision in COMPRESSED:
        for scheme in both(precision, group_tokens=8):
            restored = torch.empty_like(exact)
            scheme.unpack(scheme.pack(exact), restored)
            assert restored.isfinite().all()


def test_two_codes_of_int4_and_four_of_int2_share_a_byte() -> None:
    assert both(CachePrecision.INT4, group_tokens=8)[0].planes[0].tail == (8, 8)
    assert both(CachePrecision.INT2, group_tokens=8)[0].planes[0].tail == (8, 4)


def test_settings_that_do_not_fit_the_head_are_refused() -> None:
    with pytest.raises(ValueError, match="group_channels is 12 at a head size of 16"):
        both(CachePrecision.INT4, group_tokens=8, group_channels=12)
    with pytest.raises(ValueError, match="multiple of 4"):
        both(CachePrecision.INT2, head_size=6, group_tokens=8)
    with pytest.raises(ValueError, match="precision is full"):
        both(CachePrecision.FULL, group_tokens=8)
    with pytest.raises(ValueError, match="multiples of group_tokens"):
        CacheSettings(recent_window=40)
    with pytest.raises(ValueError, match="1 or more"):
        CacheSettings(group_channels=0)
