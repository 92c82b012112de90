"""What `-f` names: files, folders, and a manifest from a pipe, which is read once and within a bound."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from atheria_cli.errors import CommandError, ExitCode
from atheria_cli.planning.manifests import STDIN_BYTES_MOST, read_manifests

STDIN = Path("-")


def piped(content: bytes) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(content))


class Terminal(io.TextIOWrapper):
    """Somebody sits in front of it: a read would wait for a key."""

    def isatty(self) -> bool:
        return True


def test_files_are_named_and_standard_input_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "model.yaml"
    file.write_text("kind: AtheriaModel\n")
    pipe = piped(b"kind: Other\n")
    found = read_manifests([file, tmp_path], pipe)
    assert found.arguments == ("-f", str(file), "-f", str(tmp_path))
    assert found.stdin is None
    assert pipe.read() == "kind: Other\n"


def test_a_dash_is_what_is_piped_in_with_all_its_documents(tmp_path: Path) -> None:
    file = tmp_path / "more.yaml"
    file.write_text("kind: ConfigMap\n")
    text = "kind: AtheriaModel\n---\nkind: AtheriaModel\nmetadata: {name: señal}\n"
    found = read_manifests([STDIN, file], piped(text.encode()))
    assert found.arguments == ("-f", "-", "-f", str(file))
    assert found.stdin == text


def test_a_missing_file_ends_before_the_pipe_is_read() -> None:
    pipe = piped(b"kind: AtheriaModel\n")
    with pytest.raises(
        CommandError, match=r"ghost.yaml does not exist; give YAML files or folders"
    ) as refused:
        read_manifests([STDIN, Path("ghost.yaml")], pipe)
    assert refused.value.exit_code is ExitCode.NOT_FOUND
    assert pipe.read()


@pytest.mark.parametrize(
    ("stdin", "words"),
    [
        (piped(b""), "standard input is empty"),
        (piped(b" \n\n"), "standard input is empty"),
        (Terminal(io.BytesIO()), "standard input is a terminal: pipe a manifest into it"),
        (None, "standard input is closed"),
        (piped(b"kind: \xff\n"), "not UTF-8 text: byte 6"),
        (piped(b"#" * (STDIN_BYTES_MOST + 1)), "more than 16 MiB; give it as files"),
    ],
    ids=["empty", "blank", "terminal", "closed", "binary", "too-long"],
)
def test_a_dash_that_has_no_manifest_behind_it_is_refused(stdin: io.TextIOWrapper | None, words: str) -> None:
    with pytest.raises(CommandError, match=words) as refused:
        read_manifests([STDIN], stdin)
    assert str(refused.value).startswith("--filename is -: ")
    assert refused.value.exit_code is ExitCode.USAGE


def test_as_much_as_is_allowed_is_taken() -> None:
    content = b"#" * STDIN_BYTES_MOST
    assert read_manifests([STDIN], piped(content)).stdin == content.decode()


def test_standard_input_is_one_document_stream_and_is_named_once() -> None:
    with pytest.raises(CommandError, match="--filename - is given 2 times; allowed: once") as refused:
        read_manifests([STDIN, STDIN], piped(b"kind: AtheriaModel\n"))
    assert refused.value.exit_code is ExitCode.USAGE
