"""Writes a container image of one static program as a docker-archive, byte for byte the same each time."""

from __future__ import annotations

import hashlib
import io
import json
import platform
import tarfile
from pathlib import Path

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def write_single_program_image(program: Path, reference: str, archive: Path) -> None:
    """An image whose only file is `program`, run as its entry point by user 65535."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        entry = tarfile.TarInfo(program.name)
        entry.size, entry.mode = program.stat().st_size, 0o755
        with program.open("rb") as content:
            tar.addfile(entry, content)
    digest = hashlib.sha256(layer.getvalue()).hexdigest()
    configuration = json.dumps(
        {
            "architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()),
            "os": "linux",
            "config": {"Entrypoint": [f"/{program.name}"], "User": "65535:65535"},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
            "history": [{"created_by": "atheria-local"}],
        }
    ).encode()
    name = f"{hashlib.sha256(configuration).hexdigest()}.json"
    manifest = json.dumps(
        [{"Config": name, "RepoTags": [reference], "Layers": [f"{digest}/layer.tar"]}]
    ).encode()
    with tarfile.open(archive, "w") as tar:
        for path, content_bytes in (
            (f"{digest}/layer.tar", layer.getvalue()),
            (name, configuration),
            ("manifest.json", manifest),
        ):
            info = tarfile.TarInfo(path)
            info.size = len(content_bytes)
            tar.addfile(info, io.BytesIO(content_bytes))
