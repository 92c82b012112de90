"""`atheria doctor`: reads the cluster and prints what it found. Called by `__main__`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from importlib.metadata import version
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from atheria_cli.clock import utc_now
from atheria_cli.doctor.findings import Facts, Level, findings, is_ready
from atheria_cli.errors import CommandError, ExitCode
from atheria_cli.kubectl import Kubectl
from atheria_cli.options import Output
from atheria_contract import names

_MARKS: Final = {Level.OK: ("✓", "green"), Level.WARNING: ("!", "yellow"), Level.PROBLEM: ("✗", "red")}


def run_doctor(cluster: Kubectl, output: Output, console: Console) -> None:
    """A line each, remedies below. Raises CommandError where models cannot run."""
    facts = read_facts(cluster)
    found = findings(facts, utc_now().date())
    if output is Output.JSON:
        console.print_json(json.dumps([asdict(one) for one in found]))
    else:
        for one in found:
            mark, style = _MARKS[one.level]
            console.print(Text.assemble((mark, style), f" {one.what}"), soft_wrap=True)
            if one.remedy:
                console.print(Text(f"    {one.remedy}", style="dim"), soft_wrap=True)
    if not is_ready(found):
        problems = sum(one.level is Level.PROBLEM for one in found)
        raise CommandError(
            f"{problems} of {len(found)} findings keep models from running; each names its remedy",
            ExitCode.FAILED if facts.server_version else ExitCode.UNREACHABLE,
        )


def read_facts(cluster: Kubectl) -> Facts:
    """What kubectl may read; what it may not stays unsaid, with its reason."""
    errors: dict[str, str] = {}

    def read(name: str, look: Callable[[], Any]) -> Any:
        try:
            return look()
        except CommandError as error:
            errors[name] = str(error)
            return None

    def items(*arguments: str) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = json.loads(cluster.kubectl("get", *arguments, "-o", "json"))["items"]
        return found

    part_of = f"{names.LABEL_PART_OF}=atheria"
    server = read("server_version", lambda: json.loads(cluster.kubectl("version", "-o", "json")))
    if server is None or "serverVersion" not in server:
        errors.setdefault("server_version", "kubectl version names no server")
        return Facts(client_version=version("atheria"), errors=errors)
    definitions = read("definitions", lambda: items("customresourcedefinitions"))
    return Facts(
        client_version=version("atheria"),
        server_version=server["serverVersion"]["gitVersion"],
        definitions=None if definitions is None else [one["metadata"]["name"] for one in definitions],
        deployments=read("deployments", lambda: items("deployments", "--all-namespaces", "-l", part_of)),
        profiles=read("profiles", lambda: items(f"{names.PROFILE_PLURAL}.{names.GROUP}")),
        nodes=read("nodes", lambda: items("nodes")),
        models=read("models", lambda: items(f"{names.MODEL_PLURAL}.{names.GROUP}", "--all-namespaces")),
        errors=errors,
    )
