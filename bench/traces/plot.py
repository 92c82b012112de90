"""A trace as a waterfall: a bar for each span below its parent, as SVG; needs matplotlib (extra `report`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from bench.traces.collector import Span

_SETTINGS: Final = {"svg.hashsalt": "atheria", "font.size": 9, "svg.fonttype": "none"}
_COLOURS: Final = {"atheria-gateway": "#7f9fc9", "atheria-activator": "#d98c3f"}
_POD: Final = "#5aa469"
_SHORT_SECONDS: Final = 0.1
"""The last part of the picture is this long before the end of the call, so that what the pod did can be seen."""


def plot(path: Path, spans: Sequence[Span]) -> None:
    """`spans` are one trace. Left the whole call, right its end, where the pod has it."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    rows = depth_first(spans)
    start = min(span.began_s for span in spans)
    end = max(span.ended_s for span in spans)
    pod = min(span.began_s for span in spans if span.service not in _COLOURS)
    with mpl.rc_context(_SETTINGS):
        figure = Figure(figsize=(11, 1.2 + 0.3 * len(rows)), layout="constrained")
        whole, close = figure.subplots(1, 2, sharey=True, width_ratios=(1.2, 1))
        for axes, unit, zero in ((whole, 1.0, start), (close, 1000.0, pod)):
            for place, (span, _) in enumerate(rows):
                colour = _COLOURS.get(span.service, _POD)
                left = (span.began_s - zero) * unit
                axes.barh(place, (span.ended_s - span.began_s) * unit, left=left, color=colour, height=0.65)
                for _, moment in span.events:
                    axes.plot((moment - zero) * unit, place, "k|", markersize=9)
            axes.grid(axis="x", linewidth=0.4)
        whole.set_yticks(
            range(len(rows)), ["· " * depth + _short(span.name) for span, depth in rows], fontsize=8
        )
        for label in whole.get_yticklabels():
            label.set_horizontalalignment("left")
        whole.tick_params(axis="y", pad=235, length=0)
        whole.invert_yaxis()
        for place, (span, _) in enumerate(rows):
            seconds = span.ended_s - span.began_s
            words = f"{seconds:.2f} s" if seconds >= _SHORT_SECONDS else f"{seconds * 1000:.1f} ms"
            close.text(
                1.02,
                place,
                words,
                transform=close.get_yaxis_transform(),
                verticalalignment="center",
                fontsize=8,
            )
        margin = (end - pod) * 0.1
        close.set_xlim((-margin) * 1000, (end - pod + margin) * 1000)
        whole.set_xlabel("seconds since the call came; | model scaled from 0 to 1")
        close.set_xlabel("milliseconds since the pod got it")
        handles = [mpl.patches.Patch(color=colour) for colour in (*_COLOURS.values(), _POD)]
        figure.legend(
            handles, ["Envoy", "activator", "model server"], loc="outside upper center", ncols=3, fontsize=8
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        # Without a date, equal plots are equal files.
        figure.savefig(path, format="svg", metadata={"Date": None})


def _short(name: str) -> str:
    return "ext_authz: Authorization.Check" if "Authorization.Check" in name else name


def depth_first(spans: Sequence[Span]) -> list[tuple[Span, int]]:
    """Each span with its depth, below its parent and after its elder sisters."""
    known = {span.span_id for span in spans}
    below: Mapping[str, list[Span]] = {
        parent: sorted((s for s in spans if s.parent_id == parent), key=lambda s: s.began_s)
        for parent in {span.parent_id for span in spans}
    }
    found: list[tuple[Span, int]] = []

    def walk(span: Span, depth: int) -> None:
        found.append((span, depth))
        for child in below.get(span.span_id, ()):
            walk(child, depth + 1)

    for root in sorted((s for s in spans if s.parent_id not in known), key=lambda s: s.began_s):
        walk(root, 0)
    return found
