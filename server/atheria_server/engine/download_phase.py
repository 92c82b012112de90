"""A download as a phase of a start, so that the operator and people see its bytes; pure.

Called by `worker_main` for what a model's own `setup` downloads, and by `transport.waiting_room` for the source itself.
"""

from __future__ import annotations

from typing import Final

from atheria_server.engine.phases import Phase
from atheria_server.sources.progress import Transfer

_LONGEST_SOURCE: Final = 96
"""Characters of a source that are shown: whoever reads the phase bounds it."""


def download_phase(transfer: Transfer) -> Phase:
    """`downloading`, with bytes as its parts; `loading` once all of them are there.

    Where the other side does not say how many there are, the bytes are in the detail.
    """
    if transfer.state == "done":
        return Phase(name="loading")
    detail = _shortened(transfer.source)
    if transfer.total_bytes is None:
        return Phase(name="downloading", detail=f"{detail}, {transfer.done_bytes / 1e6:.1f} MB so far")
    return Phase(name="downloading", done=transfer.done_bytes, total=transfer.total_bytes, detail=detail)


def _shortened(source: str) -> str:
    """Its end says more than its middle."""
    if len(source) <= _LONGEST_SOURCE:
        return source
    half = (_LONGEST_SOURCE - 3) // 2
    return f"{source[:half]}...{source[-half:]}"
