"""`atheria plan` and `atheria apply`: what files would change on the cluster, and the change itself. Called by `__main__`.

The API server itself says what would be (server-side dry run), so defaults, validation and admission count.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from atheria_cli.console import print_line
from atheria_cli.errors import CommandError, ExitCode
from atheria_cli.kubectl import FedKubectl, Kubectl, in_namespace
from atheria_cli.options import Output
from atheria_cli.planning.difference import Change, changes
from atheria_cli.planning.manifests import Manifests
from atheria_contract import names

_STYLES: Final = {"+": "green", "-": "red", "~": "yellow"}
_NO_OPERATOR: Final = (
    "whether it fits and restarts is not foretold: that needs pip install 'atheria[cli,operator]', and the right to list "
    "atheriahardwareprofiles"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """One object of the files."""

    kind: str
    namespace: str
    name: str
    is_new: bool
    changes: tuple[Change, ...]
    outlook: Mapping[str, Any] | None
    """Of an AtheriaModel (`outlook.Outlook`); None = another kind, or the operator's package is not installed."""

    @property
    def is_model(self) -> bool:
        """Whether an outlook belongs to it."""
        return self.kind == names.MODEL_KIND


def plan(cluster: FedKubectl, manifests: Manifests, namespace: str) -> tuple[Planned, ...]:
    """What applying them would change. Raises CommandError in the API server's words."""
    found = json.loads(_apply(cluster, manifests, namespace, "--dry-run=server", "-o", "json"))
    after = found["items"] if found.get("kind") == "List" else [found]
    has_models = any(body["kind"] == names.MODEL_KIND for body in after)
    profiles = _profiles(cluster) if has_models else None
    return tuple(_planned(cluster, body, profiles) for body in after)


def apply(cluster: FedKubectl, manifests: Manifests, namespace: str) -> str:
    """Apply them, server-side. Returns kubectl's words."""
    return _apply(cluster, manifests, namespace).strip()


def _apply(cluster: FedKubectl, manifests: Manifests, namespace: str, *options: str) -> str:
    where = in_namespace(namespace)
    return cluster.kubectl(
        "apply", "--server-side", *options, *where, *manifests.arguments, stdin=manifests.stdin
    )


def _changes(count: int) -> str:
    if count == 0:
        return "no change"
    return "1 field changes" if count == 1 else f"{count} fields change"


def print_plan(planned: Sequence[Planned], output: Output, console: Console) -> None:
    """A block an object, or the JSON list of the same."""
    if output is Output.JSON:
        console.print_json(json.dumps([asdict(one) for one in planned]))
        return
    for one in planned:
        what = "new" if one.is_new else _changes(len(one.changes))
        where = f"{one.namespace}/" if one.namespace else ""
        console.print(Text.assemble((f"{one.kind} {where}{one.name}", "bold"), f": {what}"))
        for change in () if one.is_new else one.changes:
            line = str(change)
            console.print(Text(f"  {line}", style=_STYLES[line[0]]), soft_wrap=True)
        if one.is_model:
            _print_outlook(one, console)


def print_applied(planned: Sequence[Planned], said: str, output: Output, console: Console) -> None:
    """kubectl's words; as JSON a line with what was planned beside them, since lines about the models may follow."""
    if output is Output.JSON:
        document = {"planned": [asdict(one) for one in planned], "applied": said.splitlines()}
        print_line(console, json.dumps(document))
    else:
        console.print(said, highlight=False)


def _print_outlook(one: Planned, console: Console) -> None:
    outlook = one.outlook
    if outlook is None:
        console.print(f"  {_NO_OPERATOR}", style="dim", soft_wrap=True)
        return
    style = "" if outlook["is_accepted"] else "red"
    console.print(
        Text(f"  {'accepted' if outlook['is_accepted'] else 'REFUSED'}: {outlook['message']}", style=style)
    )
    if outlook["restarts"] and (one.changes or one.is_new):
        console.print(Text(f"  {outlook['restarts']}"))
    if outlook["usd_per_hour"] is not None:
        console.print(
            f"  price: {outlook['usd_per_hour']:.4g} USD an hour and pod, {outlook['usd_per_hour_most']:.4g} USD at maxReplicas (modelled)"
        )


def _planned(cluster: Kubectl, body: Mapping[str, Any], profiles: Mapping[str, Any] | None) -> Planned:
    kind, metadata = body["kind"], body["metadata"]
    namespace = metadata.get("namespace", "")
    group = body["apiVersion"].partition("/")[0] if "/" in body["apiVersion"] else ""
    asked = f"{kind}.{body['apiVersion'].partition('/')[2]}.{group}" if group else kind
    text = cluster.kubectl(
        "get", asked, metadata["name"], *in_namespace(namespace), "-o", "json", "--ignore-not-found"
    )
    live: dict[str, Any] = json.loads(text) if text.strip() else {}
    return Planned(
        kind=kind,
        namespace=namespace,
        name=metadata["name"],
        is_new=not live,
        changes=changes(live, body),
        outlook=_outlook(live, body, profiles) if kind == names.MODEL_KIND and profiles is not None else None,
    )


def _outlook(
    live: Mapping[str, Any], body: Mapping[str, Any], profiles: Mapping[str, Any]
) -> dict[str, Any] | None:
    try:
        from atheria_cli.planning.outlook import outlook
    except ImportError:
        return None
    return asdict(outlook(live, body, profiles))


def _profiles(cluster: Kubectl) -> dict[str, Any] | None:
    """By name; None where this person may not list them."""
    kind = f"{names.PROFILE_PLURAL}.{names.GROUP}"
    try:
        items = json.loads(cluster.kubectl("get", kind, "-o", "json"))["items"]
    except CommandError as error:
        if error.exit_code is not ExitCode.FAILED:
            raise
        return None
    return {body["metadata"]["name"]: body for body in items}
