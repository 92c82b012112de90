"""Log lines as kubectl prefixes them, readable for people and parsed for programs."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from atheria_cli.cluster import Cluster
from atheria_cli.console import make_console, print_line
from atheria_cli.errors import CommandError, ExitCode
from atheria_cli.model.logs import parsed, pod_selector, print_logs, readable
from atheria_cli.options import Output

JSON_LINE = '[pod/qca-7f-abcde/model] {"time": "t", "level": "info", "event": "ready", "seconds": 1.5, "of": {"a": 1}}'


def kubectl(folder: Path, body: str) -> Cluster:
    path = folder / "kubectl"
    path.write_text(f"#!{sys.executable}\nimport json, sys\narguments = sys.argv[1:]\n{body}\n")
    path.chmod(0o755)
    return Cluster(programs=folder)


def test_a_json_line_reads_with_what_matters_first() -> None:
    assert readable(JSON_LINE) == 'abcde/model t info ready seconds=1.5 of={"a": 1}'


def test_a_line_of_text_is_kept_as_it_is() -> None:
    assert readable("[pod/qca-7f-abcde/model] Traceback (most recent call last):") == (
        "abcde/model Traceback (most recent call last):"
    )
    assert parsed("no prefix") == {"from_pod": "", "from_container": "", "text": "no prefix"}


def test_a_json_line_keeps_its_fields_for_programs() -> None:
    assert parsed(JSON_LINE)["from_pod"] == "qca-7f-abcde"
    assert parsed(JSON_LINE)["seconds"] == 1.5


def test_a_line_that_names_another_pod_keeps_it_beside_its_own() -> None:
    line = '[pod/gateway-abcde/envoy] {"pod": "10.0.0.1:8001", "status": 200}'
    assert readable(line) == "abcde/envoy pod=10.0.0.1:8001 status=200"
    assert parsed(line)["from_pod"] == "gateway-abcde"


def test_the_lines_of_all_pods_are_printed(tmp_path: Path) -> None:
    cluster = kubectl(
        tmp_path,
        "print(json.dumps({'items': [{}]}) if arguments[0] == 'get' else '[pod/a-b-c/model] ' + ' '.join(arguments))",
    )
    console = Console(width=300)
    with console.capture() as captured:
        print_logs(cluster, "x=y", "demo", Output.TABLE, console, tail=5, follow=True, previous=False)
    assert "-l x=y --prefix --all-containers --tail=5" in captured.get()
    assert "--follow" in captured.get()


def test_kubectls_own_words_end_the_command(tmp_path: Path) -> None:
    cluster = kubectl(
        tmp_path,
        "print(json.dumps({'items': [{}]})) if arguments[0] == 'get' else sys.exit('no such container')",
    )
    with pytest.raises(CommandError, match="kubectl logs failed: no such container"):
        print_logs(cluster, "x=y", "", Output.TABLE, Console(), tail=5, follow=False, previous=False)


def test_a_model_at_zero_has_no_log_and_the_message_says_what_to_do(tmp_path: Path) -> None:
    cluster = kubectl(tmp_path, "print(json.dumps({'items': []}))")
    with pytest.raises(CommandError, match="a model at zero has none; a call wakes it") as caught:
        print_logs(cluster, "x=y", "", Output.JSON, Console(), tail=5, follow=False, previous=False)
    assert caught.value.exit_code == ExitCode.NOT_FOUND


def test_a_model_that_the_operator_has_not_seen_has_no_known_pods(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="the operator has not seen qca yet"):
        pod_selector(kubectl(tmp_path, "print('{}')"), "qca", "demo")


def test_a_line_with_a_number_that_json_does_not_have_is_json_for_programs() -> None:
    told = json.dumps(parsed('[pod/qca-1/server] {"loss": NaN, "rate": -Infinity}'), allow_nan=False)
    assert json.loads(told)["loss"] == "NaN"
    assert readable('[pod/qca-1/server] {"loss": NaN}').endswith("loss=NaN")


def test_a_number_that_is_too_large_is_shown_as_it_was_written_and_the_line_stays_json() -> None:
    line = '[pod/qca-1/server] {"loss": 1e999, "rates": [-1E+400, 0.5]}'
    told = json.loads(json.dumps(parsed(line), allow_nan=False))
    assert (told["loss"], told["rates"]) == ("1e999", ["-1E+400", 0.5])
    assert readable(line).endswith('loss=1e999 rates=["-1E+400", 0.5]')


@pytest.mark.parametrize(("begin", "end"), [("[", "]"), ('{"a": ', "}")], ids=["lists", "objects"])
def test_a_line_that_is_nested_too_deep_to_be_read_is_text_and_what_can_be_read_can_be_written(
    begin: str, end: str
) -> None:
    for depth in (*range(600, 1_000), 100_000):
        text = f'{{"message": {begin * depth}0{end * depth}}}'
        line = f"[pod/qca-1/server] {text}"
        told = json.dumps(parsed(line), allow_nan=False)
        shown = readable(line)
    assert json.loads(told)["text"] == text
    assert shown == f"qca-1/server {text}"


_TEXTS = st.text(st.characters(exclude_characters="\r\n"), max_size=30)
"""Halves of surrogate pairs too, which JSON can name and no encoding has."""
_VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | _TEXTS,
    lambda one: st.lists(one, max_size=3) | st.dictionaries(_TEXTS, one, max_size=3),
    max_leaves=10,
)


@given(of_pod=_TEXTS | _VALUES.map(json.dumps) | st.dictionaries(_TEXTS, _VALUES).map(json.dumps))
def test_no_line_of_a_pod_ends_the_command(of_pod: str) -> None:
    out = io.BytesIO()
    with pytest.MonkeyPatch.context() as patch:
        stdout = io.TextIOWrapper(out, encoding="utf-8")
        patch.setattr(sys, "stdout", stdout)
        console = make_console()
        for line in (of_pod, f"[pod/qca-1/server] {of_pod}"):
            print_line(console, readable(line))
            print_line(console, json.dumps(parsed(line), allow_nan=False))
        stdout.flush()
    assert out.getvalue().decode().strip()
