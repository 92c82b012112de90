"""When certificates and authorities are made: overlapping, never too late, never by one that somebody does not trust yet."""

from __future__ import annotations

import pytest

from atheria_operator.domain.certificates.terms import (
    ADOPTED_SECONDS,
    AUTHORITY_LEFT_SECONDS,
    AUTHORITY_SECONDS,
    CERTIFICATE_LEFT_SECONDS,
    CERTIFICATE_SECONDS,
    Issue,
    Term,
    in_force,
    is_due,
    needs_another,
    signer_of,
)

DAY = 86_400.0


def term(name: str, begins_days: float, days: float = 365) -> Term:
    return Term(name=name, begins_seconds=begins_days * DAY, ends_seconds=(begins_days + days) * DAY)


def test_the_first_authority_signs_at_once_and_the_next_one_after_a_day() -> None:
    first = term("first", 0)
    assert needs_another((), 0)
    assert signer_of([first], 1.0) is first
    made_at = first.ends_seconds - AUTHORITY_LEFT_SECONDS
    assert not needs_another([first], made_at)
    assert needs_another([first], made_at + 1)
    second = term("second", made_at / DAY)
    assert signer_of([first, second], made_at + ADOPTED_SECONDS - 1) is first
    assert signer_of([first, second], made_at + ADOPTED_SECONDS) is second


def test_authorities_that_have_ended_are_left_out_and_the_oldest_comes_first() -> None:
    old, middle, new = term("old", 0), term("middle", 200), term("new", 300)
    assert in_force([new, old, middle], 364 * DAY) == (old, middle, new)
    assert in_force([new, old, middle], 365 * DAY) == (middle, new)


def test_in_ten_years_no_certificate_outlives_its_authority_and_every_signer_is_trusted_before() -> None:
    terms: tuple[Term, ...] = ()
    signers: set[str] = set()
    for day in range(3650):
        now = day * DAY
        terms = in_force(terms, now)
        if needs_another(terms, now):
            terms = (*terms, Term(name=str(day), begins_seconds=now, ends_seconds=now + AUTHORITY_SECONDS))
        assert 1 <= len(terms) <= 2
        signer = signer_of(terms, now)
        assert signer.ends_seconds >= now + CERTIFICATE_SECONDS
        assert signer.name == "0" or now - signer.begins_seconds >= ADOPTED_SECONDS
        signers.add(signer.name)
    assert len(signers) > 10


@pytest.mark.parametrize(
    ("issue", "due"),
    [
        (None, True),
        (Issue(ends_seconds=100 * DAY, authorities="other"), True),
        (Issue(ends_seconds=CERTIFICATE_LEFT_SECONDS, authorities="these"), False),
        (Issue(ends_seconds=CERTIFICATE_LEFT_SECONDS - 1, authorities="these"), True),
    ],
)
def test_a_certificate_is_due_when_there_is_none_it_ends_soon_or_other_authorities_count(
    issue: Issue | None, due: bool
) -> None:
    assert is_due(issue, "these", 0.0) is due
