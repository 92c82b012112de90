from __future__ import annotations

from typing import Any

import pytest

from atheria_server.models.contract import InvalidRequestError
from atheria_server.models.text.options import GenerationOptions, as_parameters, read_options


def test_what_is_not_said_has_defaults_and_the_worker_reads_the_same() -> None:
    given = {"temperature": 1, "stop": '["a", "b\\n"]', "stop_tokens": 7, "logprobs": True}
    options = read_options(given)
    assert options == GenerationOptions(temperature=1.0, stop=("a", "b\n"), stop_tokens=(7,), logprobs=True)
    assert read_options(as_parameters(options)) == options


def test_the_author_of_a_model_may_set_other_defaults() -> None:
    defaults = GenerationOptions(max_new_tokens=5, top_k=3)
    assert read_options({"top_k": 9}, defaults) == GenerationOptions(max_new_tokens=5, top_k=9)


def test_a_stop_text_that_begins_like_a_list_and_is_none_is_a_text() -> None:
    assert read_options({"stop": "[END"}).stop == ("[END",)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("max_new_tokens", 0, "parameter max_new_tokens is 0; expected a whole number from 1 to"),
        ("max_new_tokens", True, "parameter max_new_tokens is True"),
        ("max_new_tokens", 2.5, "parameter max_new_tokens is 2.5"),
        ("temperature", float("nan"), "parameter temperature is nan; expected a number from 0 to 100"),
        ("temperature", "hot", "parameter temperature is 'hot'"),
        ("top_k", -1, "parameter top_k is -1"),
        ("top_p", 0, "parameter top_p is 0; expected a number above 0"),
        ("top_p", 1.5, "parameter top_p is 1.5"),
        ("seed", -1, "parameter seed is -1"),
        ("stop", "", "parameter stop is ''"),
        ("stop", 3, "parameter stop is 3"),
        ("stop", "[1]", "parameter stop is"),
        ("stop", "x" * 257, "each of 1 to 256 characters"),
        ("stop_tokens", "[-1]", "parameter stop_tokens is"),
        ("stop_tokens", "[true]", "parameter stop_tokens is"),
        ("ignore_end", 1, "parameter ignore_end is 1; expected true or false"),
        ("speculation", "magic", "parameter speculation is 'magic'; allowed: off, ngram, draft"),
        ("draft_tokens", 17, "parameter draft_tokens is 17; expected a whole number from 1 to 16"),
        ("beams", 2, "unknown parameter 'beams'; allowed: draft_tokens, ignore_end"),
    ],
)
def test_what_cannot_be_is_refused_with_name_value_and_what_is_allowed(
    name: str, value: Any, words: str
) -> None:
    with pytest.raises(InvalidRequestError) as found:
        read_options({name: value})
    assert words in str(found.value)


@pytest.mark.parametrize("name", ["stop", "stop_tokens"])
@pytest.mark.parametrize("depth", [5_000, 100_000])
def test_lists_in_lists_without_end_are_refused_like_any_other_wrong_value(name: str, depth: int) -> None:
    with pytest.raises(InvalidRequestError, match=f"parameter {name} is") as found:
        read_options({name: "[" * depth})
    assert len(str(found.value)) < 1_000


def test_the_longest_list_of_stop_texts_is_read() -> None:
    stops = tuple(chr(0x1F600 + index) * 256 for index in range(16))
    assert read_options(as_parameters(GenerationOptions(stop=stops))).stop == stops
