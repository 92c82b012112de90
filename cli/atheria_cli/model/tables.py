"""Models as tables and panels for a terminal. PURE; called by the commands `list`, `get` and `watch`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from atheria_cli.console import plain_table
from atheria_cli.model.summary import Body, Summary, condition, duration, summarize

_STYLES: Final = {"True": "green", "False": "red", "Unknown": "yellow"}
_GIB: Final = 2**30
_COLUMNS: Final = (
    "NAMESPACE",
    "NAME",
    "READY",
    "REASON",
    "PODS",
    "QUEUE",
    "PROFILE",
    "USD/1000",
    "REVISION",
    "AGE",
)
_LEAVE_FIRST: Final = ("REVISION", "AGE", "PROFILE", "USD/1000", "QUEUE", "REASON", "PODS")
_GAP: Final = 2
"""Blanks between two columns."""


def models_table(rows: Iterable[Summary], *, with_namespace: bool, width: int) -> Table:
    """One row a model. In fewer than `width` columns all fit; else what matters least is left out, and never a letter of a name."""
    cells = [_cells(row) for row in rows]
    shown = [name for name in _COLUMNS if with_namespace or name != "NAMESPACE"]
    for least in _LEAVE_FIRST:
        if sum(_least_width(name, cells) + _GAP for name in shown) <= width:
            break
        shown.remove(least)
    table = Table(box=None, padding=(0, _GAP, 0, 0), header_style="bold")
    for name in shown:
        table.add_column(name, no_wrap=name != "REASON", overflow="fold")
    for row in cells:
        table.add_row(
            *(Text(row[name], style=_STYLES.get(row[name], "") if name == "READY" else "") for name in shown)
        )
    return table


def _cells(row: Summary) -> dict[str, str]:
    return {
        "NAMESPACE": row.namespace,
        "NAME": row.name,
        "READY": row.ready,
        "REASON": row.reason or "not seen by the operator yet",
        "PODS": f"{row.replicas_ready}/{row.replicas_asked}",
        "QUEUE": str(row.queue),
        "PROFILE": row.profile or "-",
        "USD/1000": "-" if row.usd_per_1000 is None else f"{row.usd_per_1000:.4g}",
        "REVISION": row.revision or "-",
        "AGE": duration(row.age_seconds),
    }


def _least_width(column: str, rows: Sequence[Mapping[str, str]]) -> int:
    """Letters of the widest cell; of a reason, which may be wrapped, of its widest word."""
    texts = [column, *(row[column] for row in rows)]
    words = [word for text in texts for word in text.split()] if column == "REASON" else texts
    return max(map(len, words), default=0)


def detail(body: Body, now: datetime) -> RenderableType:
    """All that a person wants to know of one model, the next step first where something is wrong."""
    row, status = summarize(body, now), body.get("status") or {}
    parts: list[RenderableType] = [
        Text.assemble(
            (f"{row.namespace}/{row.name}", "bold"),
            "  ",
            (f"Ready={row.ready}", _STYLES.get(row.ready, "")),
            f" {row.reason}  {row.replicas_ready} of {row.replicas_asked} pods  {row.url}",
        )
    ]
    if step := (status.get("fault") or {}).get("nextStep"):
        parts.append(Text(f"next step: {step}", style="yellow"))
    if not row.is_seen:
        parts.append(
            Text(
                "the operator has not seen the spec as it is now; atheria doctor says whether it runs",
                style="yellow",
            )
        )
    if conditions := status.get("conditions"):
        parts.append(_conditions(conditions))
    facts = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column()
    for name, words in _facts(body, status):
        if words:
            facts.add_row(name, words)
    parts.append(facts)
    if revisions := status.get("revisions"):
        parts.append(_revisions(revisions))
    return Group(*parts)


def _facts(body: Body, status: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
    model = (body.get("spec") or {}).get("model") or {}
    return (
        ("source", model.get("source", "")),
        ("phase", status.get("phase", "")),
        ("start", start_words(status.get("start") or {})),
        ("hardware", _hardware(status.get("hardware") or {})),
        ("precision", _precision(status.get("precision") or {})),
        ("quality", (status.get("quality") or {}).get("message", "")),
        ("compile cache", _compile_cache(status.get("compileCache") or {})),
        ("cost", _cost(status.get("cost") or {})),
        ("last call", status.get("lastCallTime", "")),
        ("rollout", condition(body, "Progressing").get("message", "")),
    )


def _conditions(conditions: Iterable[Mapping[str, Any]]) -> Table:
    table = plain_table("CONDITION", "STATUS", "REASON", "WHY")
    for found in conditions:
        holds = str(found.get("status", ""))
        table.add_row(
            found.get("type", ""),
            Text(holds, style=_STYLES.get(holds, "")),
            found.get("reason", ""),
            found.get("message", ""),
        )
    return table


def _revisions(revisions: Iterable[Mapping[str, Any]]) -> Table:
    table = plain_table("REVISION", "CALLS", "PODS", "")
    for found in revisions:
        table.add_row(
            found.get("name", ""),
            f"{found.get('weight', 0)} %",
            f"{found.get('readyReplicas', 0)}/{found.get('replicas', 0)}",
            "" if found.get("mayRun", True) else "may have no pods now",
        )
    return table


def start_words(start: Mapping[str, Any]) -> str:
    """status.start: the phase, how far it is, and when it should be over; empty without a start."""
    if not start:
        return ""
    words = f"{start.get('phase', '')} since {start.get('since', '')}"
    if start.get("total"):
        words += f", {start.get('done', 0)} of {start['total']}"
    if start.get("detail"):
        words += f": {start['detail']}"
    return words + (f"; ready expected at {start['expectedAt']}" if start.get("expectedAt") else "")


def _hardware(hardware: Mapping[str, Any]) -> str:
    if not hardware:
        return ""
    words = f"{hardware.get('profile', '')}, {hardware.get('why', '')}"
    if hardware.get("neededBytes") and hardware.get("memoryBytes"):
        words += (
            f"; {hardware['neededBytes'] / _GIB:.2f} of {hardware['memoryBytes'] / _GIB:.1f} GiB a device"
            f" ({hardware.get('basis', 'modelled')})"
        )
    return words


def _precision(precision: Mapping[str, Any]) -> str:
    if not precision:
        return ""
    weights = precision.get("weightBytes")
    words = [precision.get("chosen", ""), precision.get("why", "")]
    counted = f"; weights {weights:,} bytes (measured)" if weights else ""
    return ": ".join(word for word in words if word) + counted


def _compile_cache(cache: Mapping[str, Any]) -> str:
    if not cache:
        return ""
    saved = f", {cache['savedSeconds']:.3g} s saved" if cache.get("savedSeconds") else ""
    return f"{cache.get('result', '')} ({cache.get('mode', '')}){saved}"


def _cost(cost: Mapping[str, Any]) -> str:
    if not cost:
        return ""
    if cost.get("usdPerHour") is None:
        return f"{cost.get('calls', 0)} calls; the hardware profile names no price"
    per_1000 = cost.get("reservedPer1000")
    shown = "" if per_1000 is None else f"{per_1000:.4g} USD per 1000 calls ({cost.get('basis', '')}), "
    return (
        f"{shown}{cost.get('paidUsd', 0):.4g} USD paid for {cost.get('calls', 0)} calls since {cost.get('since', '')}, of which idle "
        f"{cost.get('idleUsd', 0):.4g} USD ({cost.get('busyBasis', '')}); {cost['usdPerHour']:.4g} USD/h from {cost.get('priceSource', 'no source')},"
        f" {cost.get('priceDate', 'no date')}"
    )
