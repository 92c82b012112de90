"""Short programs (ip, openssl, ctr, buildah …) run to their end, with a bound and their own words on failure."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from atheria_local.errors import LocalError


def run(
    command: Sequence[str],
    *,
    timeout_seconds: float = 60,
    check: bool = True,
    stdin: str | None = None,
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
    log: Path | None = None,
) -> str:
    """Standard output of `command`; with `log`, both outputs go there instead and the result is empty.

    Raises LocalError with the last words of the program when it fails (unless `check` is False), is missing, or takes
    longer than `timeout_seconds`.
    """
    shown = " ".join(command[:4]) + (" …" if len(command) > 4 else "")
    output = log.open("ab") if log else None
    try:
        done = subprocess.run(
            command,
            input=stdin,
            text=True,
            stdout=output or subprocess.PIPE,
            stderr=subprocess.STDOUT if output else subprocess.PIPE,
            timeout=timeout_seconds,
            env=dict(environment) if environment is not None else None,
            cwd=directory,
            check=False,
        )
    except FileNotFoundError as error:
        raise LocalError(f"{command[0]} is not installed: run `make setup`") from error
    except subprocess.TimeoutExpired as error:
        raise LocalError(f"`{shown}` took longer than {timeout_seconds:.0f} s") from error
    finally:
        if output:
            output.close()
    if check and done.returncode != 0:
        words = _tail(log.read_text(errors="replace")) if log else _tail(done.stderr or done.stdout)
        where = f" (all of it: {log})" if log else ""
        raise LocalError(f"`{shown}` failed with {done.returncode}: {words}{where}")
    return done.stdout or ""


def _tail(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " / ".join(lines[-3:])[:600] or "it said nothing"
