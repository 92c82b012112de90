"""`package.module:function` in settings -> the function. For warm-up hooks and quality metrics, in the worker."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

_FORM: Final = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


class EntryPointError(ValueError):
    """There is no such function; the message names the setting and which part is wrong."""


def load_entry_point(setting: str, text: str) -> Callable[..., Any]:
    """The function that `text` names; `setting` is what the message calls it. Raises EntryPointError.

    Found as `python://` sources are: in installed packages and in the working directory.
    """
    if not _FORM.fullmatch(text):
        raise EntryPointError(f"{setting} is {text!r}; expected package.module:function")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    module_name, _, path = text.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        raise EntryPointError(
            f"{setting} {text!r}: cannot import {module_name}: {type(error).__name__}: {error}; "
            "put the module into the image or the working folder"
        ) from error
    for part in path.split("."):
        if not hasattr(found, part):
            raise EntryPointError(f"{setting} {text!r}: {module_name} has no {path}")
        found = getattr(found, part)
    if not callable(found):
        raise EntryPointError(f"{setting} {text!r} is a {type(found).__name__}; expected a function")
    return found  # type: ignore[no-any-return]
