"""A file that two packages bring is of whichever was installed later, unless somebody sees to it: requirements/last.in does.

uv installs at the same time what does not depend on each other, so without it the same lock gave environments that could export traces and
environments that could not.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import re
import sysconfig
from collections import defaultdict
from importlib.metadata import distributions
from pathlib import Path

PACKAGES = Path(sysconfig.get_path("purelib"))
REQUIREMENTS = Path(__file__).parents[2] / "requirements"


def shared() -> dict[str, dict[str, str]]:
    """Files that several packages have, with other content: the digest that each package says, by its name."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for package in distributions(path=[str(PACKAGES)]):
        name = re.sub(r"[-_.]+", "-", package.name).lower()
        for path, digest, _ in csv.reader((package.read_text("RECORD") or "").splitlines()):
            if digest and not path.startswith(".."):
                found[path][name] = digest
    return {path: by_package for path, by_package in found.items() if len({*by_package.values()}) > 1}


def names_in(file: Path) -> set[str]:
    lines = (line.partition("#")[0].strip() for line in file.read_text(encoding="utf-8").splitlines())
    return {line for line in lines if line}


def test_a_file_of_several_packages_is_that_of_the_package_that_is_installed_last() -> None:
    last = names_in(REQUIREMENTS / "last.in")
    found = shared()
    assert found, "nothing is shared any more: requirements/last.in can go"
    used = set()
    for name, by_package in found.items():
        owners = last & by_package.keys()
        assert len(owners) == 1, (
            f"{name} is of {sorted(by_package)}: say which is right in requirements/last.in"
        )
        (owner,) = owners
        used.add(owner)
        method, _, wanted = by_package[owner].partition("=")
        digest = hashlib.new(method, (PACKAGES / name).read_bytes()).digest()
        assert base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == wanted, (
            f"{name} is not that of {owner}: delete .venv and run `make setup`"
        )
    assert used == last


def test_whoever_installs_the_one_and_the_other_installs_the_last_ones_last() -> None:
    root = REQUIREMENTS.parent
    installs = re.compile(r"pip install .*-r (?:requirements/)?(\w+)\.txt$", re.MULTILINE)
    texts = [
        (root / "tools" / "setup.sh").read_text(encoding="utf-8"),
        *re.split(r"^FROM ", (root / "Dockerfile").read_text(encoding="utf-8"), flags=re.MULTILINE),
    ]
    found = 0
    for text in texts:
        lines = [line.rstrip("\\ ") for line in text.splitlines() if "pip install" in line]
        order = [match[1] for line in lines if (match := installs.search(line))]
        if any(re.search(r"\b(gateway|all)\.txt", line) for line in lines):
            found += 1
            assert order[-1] == "last", (
                f"{order}: whatever is installed behind requirements/last.txt may write over its files"
            )
            assert re.search(r"--no-deps --(force-)?reinstall -r (requirements/)?last\.txt", text)
    assert found == 2
