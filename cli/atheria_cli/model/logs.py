"""`atheria logs`: the log lines of a model's pods, or of Atheria's own, readable. Called by `__main__`."""

from __future__ import annotations

import json
import math
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Any, Final

from rich.console import Console

from atheria_cli.console import print_line
from atheria_cli.errors import CommandError, ExitCode
from atheria_cli.kubectl import KubectlCommand, in_namespace
from atheria_cli.model.read import read_model
from atheria_cli.options import Output

TAIL_DEFAULT: Final = 50
_FIRST: Final = ("time", "timestamp", "level", "severity", "logger", "event", "message", "msg")
"""Keys of a JSON log line that are shown first, without their names."""
_PODS_AT_MOST: Final = 100


class Component(StrEnum):
    """Atheria's own parts, which have no AtheriaModel."""

    OPERATOR = "operator"
    GATEWAY = "gateway"


def pod_selector(cluster: KubectlCommand, model: str, namespace: str) -> str:
    """Label selector of a model's pods. Raises CommandError where the operator has not told it yet."""
    status = read_model(cluster, model, namespace).get("status") or {}
    selector = str(status.get("selector") or "")
    if not selector:
        raise CommandError(
            f"the operator has not seen {model} yet, so its pods are not known; is it running? atheria logs --component operator"
        )
    return selector


def component_selector(component: Component) -> str:
    """Label selector of the pods of the chart."""
    return f"app.kubernetes.io/part-of=atheria,app.kubernetes.io/component={component.value}"


def component_namespace(cluster: KubectlCommand, component: Component) -> str:
    """Where the pods of the chart run. Raises CommandError where there are none."""
    selector = component_selector(component)
    text = cluster.kubectl("get", "pods", "--all-namespaces", "-l", selector, "-o", "json")
    namespaces = sorted({pod["metadata"]["namespace"] for pod in json.loads(text)["items"]})
    if not namespaces:
        raise CommandError(
            f"no pod of the {component.value} runs in this cluster ({selector}): atheria doctor",
            ExitCode.NOT_FOUND,
        )
    return str(namespaces[0])


def print_logs(
    cluster: KubectlCommand,
    selector: str,
    namespace: str,
    output: Output,
    console: Console,
    *,
    tail: int,
    follow: bool,
    previous: bool,
) -> None:
    """Print the lines as they come. Raises CommandError with kubectl's words, and NOT_FOUND where no pod runs."""
    pods = json.loads(cluster.kubectl("get", "pods", *in_namespace(namespace), "-l", selector, "-o", "json"))[
        "items"
    ]
    if not pods:
        raise CommandError(
            f"no pod runs for {selector}: a model at zero has none; a call wakes it, and atheria get says what it waits for",
            ExitCode.NOT_FOUND,
        )
    arguments = [
        "logs", *in_namespace(namespace), "-l", selector, "--prefix", "--all-containers", f"--tail={tail}",
        f"--max-log-requests={_PODS_AT_MOST}", *(["--follow"] if follow else []), *(["--previous"] if previous else []),
    ]  # fmt: skip
    for line in _lines([*cluster.command("kubectl"), *arguments], cluster.full_environment()):
        print_line(
            console, json.dumps(parsed(line), allow_nan=False) if output is Output.JSON else readable(line)
        )


def _lines(command: list[str], environment: Mapping[str, str]) -> Iterator[str]:
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors:
        process = subprocess.Popen(
            command,
            env=dict(environment),
            stdout=subprocess.PIPE,
            stderr=errors,
            encoding="utf-8",
            errors="replace",
        )
        try:
            yield from (line.rstrip("\n") for line in process.stdout or ())
            if process.wait() != 0:
                errors.seek(0)
                raise CommandError(f"kubectl logs failed: {errors.read().strip()}")
        finally:
            process.kill()
            process.wait()
            if process.stdout:
                process.stdout.close()


def parsed(line: str) -> dict[str, Any]:
    """`[pod/NAME/CONTAINER] TEXT` as `{"from_pod", "from_container", ...the line's own fields}`; plain text as `{"text"}`."""
    pod, container, text = _prefix(line)
    try:
        # NaN, and what is too large for a number, are words here: JSON has no numbers for them.
        fields = json.loads(text, parse_constant=str, parse_float=_finite)
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        fields = {"text": text}
    return {**fields, "from_pod": pod, "from_container": container}


def _finite(text: str) -> float | str:
    number = float(text)
    return number if math.isfinite(number) else text


def readable(line: str) -> str:
    """The pod's last letters, then the fields that matter first without names, then the rest as name=value."""
    fields = parsed(line)
    pod, container = fields.pop("from_pod"), fields.pop("from_container")
    head = f"{pod[-5:] or '-'}/{container}"
    if set(fields) == {"text"}:
        return f"{head} {fields['text']}"
    first = [str(fields.pop(name)) for name in _FIRST if name in fields]
    return " ".join([head, *first, *_pairs(fields.items())])


def _pairs(items: Iterable[tuple[str, Any]]) -> Iterator[str]:
    for name, value in items:
        yield f"{name}={value if isinstance(value, str | int | float) else json.dumps(value)}"


def _prefix(line: str) -> tuple[str, str, str]:
    if line.startswith("[pod/") and "] " in line:
        where, _, text = line.partition("] ")
        pod, _, container = where.removeprefix("[pod/").partition("/")
        return pod, container, text
    return "", "", line
