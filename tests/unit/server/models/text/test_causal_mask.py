"""The mask of a step equals causality, row by row, and is left out exactly where the network needs none."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from atheria_server.models.text.passes import causal_mask

ROWS = st.lists(st.tuples(st.integers(0, 9), st.integers(1, 5)), min_size=1, max_size=4)


@settings(deadline=None)
@given(ROWS)
def test_each_new_token_attends_to_itself_and_all_before_it(rows: list[tuple[int, int]]) -> None:
    before, new = zip(*rows, strict=True)
    longest = max(old + more for old, more in rows)
    mask = causal_mask(before, new, max(new), longest, "cpu")
    if mask is None:
        assert len(set(rows)) == 1
        assert new[0] == 1 or before[0] == 0
        return
    assert mask.shape == (len(rows), 1, max(new), longest)
    for row, (old, more) in enumerate(rows):
        for token in range(max(new)):
            seen = [place for place in range(longest) if mask[row, 0, token, place]]
            assert seen == list(range(old + min(token, more - 1) + 1))
    assert not (len(set(rows)) == 1 and (new[0] == 1 or before[0] == 0))
