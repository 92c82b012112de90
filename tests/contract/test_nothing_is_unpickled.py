"""No program of this project makes objects of bytes that tell it which: such bytes can run any code of their author's."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("server", "gateway", "operator", "contract", "cli")
FORBIDDEN = frozenset(
    {"pickle", "_pickle", "pickletools", "marshal", "shelve", "dill", "cloudpickle", "joblib", "jsonpickle"}
)


def imported(source: str) -> Iterator[str]:
    """Top-level names of the modules that a source imports, wherever it does, by statement or by name."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield str(node.module).split(".")[0]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            yield from (str(a.value).split(".")[0] for a in node.args if isinstance(a, ast.Constant))


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_module_imports_a_library_that_unpickles(folder: str) -> None:
    sources = sorted((ROOT / folder).rglob("*.py"))
    assert sources, f"{folder} has no modules"
    found = {str(s.relative_to(ROOT)): FORBIDDEN.intersection(imported(s.read_text())) for s in sources}
    assert not {name: sorted(bad) for name, bad in found.items() if bad}


@pytest.mark.parametrize(
    "source",
    [
        "def f():\n    import pickle as p",
        "from marshal import loads",
        "import os, dill.source",
        "importlib.import_module('shelve')",
        "__import__('_pickle')",
    ],
)
def test_every_way_to_import_one_is_seen(source: str) -> None:
    assert FORBIDDEN.intersection(imported(source))
