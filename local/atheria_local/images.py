"""Our images from our Dockerfile, without Docker: buildah on a base made by debootstrap, loaded into containerd.

An image's tag is the hash of what it is made of, so unchanged code builds and loads nothing, and changed code rolls the
pods that use it. `.local/images.yaml` tells Helm the tags. Called by the command line.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from atheria_local import paths, programs, versions
from atheria_local.image_archive import write_single_program_image
from atheria_local.progress import step
from atheria_local.shell import run

PAUSE_IMAGE: Final = "localhost/atheria/pause:1"
BASE_IMAGE: Final = f"localhost/debian:{versions.DEBIAN_SUITE}"
REGISTRY: Final = "localhost/atheria"
_STORAGE: Final = paths.CACHE / "images"
_RUN: Final = paths.CACHE / "images-run"
"""buildah's locks and mounts; not under `paths.RUN`, which is there only while a cluster is."""
_BUILD_TIMEOUT_SECONDS: Final = 1800
_CERTIFICATE_VARIABLES: Final = ("PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """One target of the Dockerfile and what goes into it."""

    component: str
    """Name in the chart's values and of the image."""
    target: str
    inputs: tuple[str, ...]
    minutes: str

    @property
    def tag(self) -> str:
        """Hash of Dockerfile, base and inputs, as they were when this process first asked."""
        return _hash_of_sources(self)

    @property
    def reference(self) -> str:
        """Full name with tag."""
        return f"{REGISTRY}/{self.component}:{self.tag}"


@cache
def _hash_of_sources(image: Image) -> str:
    digest = hashlib.sha256(f"{image.target} {versions.DEBIAN_SUITE}".encode())
    for entry in ("Dockerfile", *image.inputs):
        path = paths.REPOSITORY / entry
        for file in [path] if path.is_file() else sorted(path.rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                digest.update(str(file.relative_to(paths.REPOSITORY)).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:12]


ALL: Final = (
    Image(
        component="operator",
        target="operator",
        inputs=("requirements/operator.txt", "contract/atheria_contract", "operator/atheria_operator"),
        minutes="about 1 min",
    ),
    Image(
        component="gateway",
        target="gateway",
        inputs=(
            "requirements/gateway.txt",
            "requirements/otel.txt",
            "requirements/last.txt",
            "contract/atheria_contract",
            "gateway/atheria_gateway",
        ),
        minutes="about 1 min",
    ),
    Image(
        component="server",
        target="server-cpu",
        inputs=(
            "requirements/server.txt",
            "requirements/otel.txt",
            "requirements/optimize.txt",
            "requirements/sources.txt",
            "requirements/text.txt",
            "contract/atheria_contract",
            "server/atheria_server",
        ),
        minutes="about 2 min",
    ),
)


def build() -> None:
    """Build the images that neither containerd nor buildah has for the present sources."""
    for image in ALL:
        if not (_loaded(image) or _built(image.reference)):
            _ensure_base()
            with step(f"image {image.component}", f"the first time {image.minutes}"):
                _buildah("bud", "--isolation=chroot", "--pull-never", "--layers", *_build_options(),
                         f"--build-arg=BASE_IMAGE={BASE_IMAGE}", f"--target={image.target}",
                         f"--tag={image.reference}", f"--file={paths.REPOSITORY / 'Dockerfile'}",
                         str(paths.REPOSITORY), log=f"image-{image.component}")  # fmt: skip


def load() -> None:
    """Load what `build` made into the running containerd, and write the tags for Helm."""
    for image in ALL:
        if image.reference in _references():
            continue
        with step(f"load image {image.component}"):
            archive = paths.CACHE / f"{image.component}-{os.getpid()}.tar"
            try:
                _buildah("push", image.reference, f"docker-archive:{archive}:{image.reference}")
                _import(archive)
            finally:
                archive.unlink(missing_ok=True)
        _remember(image)
    values = {image.component: {"image": {"tag": image.tag}} for image in ALL}
    paths.IMAGE_VALUES.write_text(json.dumps(values, indent=1) + "\n")


def load_pause() -> None:
    """Load the image of the pods' sandbox."""
    if PAUSE_IMAGE in _references():
        return
    archive = paths.CLUSTER / "pause.tar"
    write_single_program_image(Path(programs.path(programs.PAUSE)), PAUSE_IMAGE, archive)
    _import(archive)
    archive.unlink()


def delete_outdated() -> None:
    """Delete the images of earlier sources from containerd; only while no pod runs."""
    keep = {image.reference for image in ALL} | {PAUSE_IMAGE}
    for reference in _references():
        if reference.startswith(f"{REGISTRY}/") and reference not in keep:
            run([*_ctr(), "images", "remove", "--sync", reference], timeout_seconds=120)


def _ensure_base() -> None:
    if _built(BASE_IMAGE):
        return
    with step(f"Debian {versions.DEBIAN_SUITE} base image (debootstrap)", "the first time, about 1 min"):
        root = paths.CACHE / "debootstrap"
        _remove_tree(root)
        mirror = [os.environ["DEBIAN_MIRROR"]] if os.environ.get("DEBIAN_MIRROR") else []
        try:
            run(["debootstrap", "--variant=minbase", versions.DEBIAN_SUITE, str(root), *mirror],
                timeout_seconds=900, log=_log("debootstrap"))  # fmt: skip
            for folder in ("var/lib/apt/lists", "var/cache/apt/archives", "var/log"):
                for entry in (root / folder).iterdir():
                    shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
            container = _buildah("from", "scratch").strip()
            try:
                _buildah("add", container, str(root), "/")
                _buildah("config", "--cmd=/bin/bash", "--env=PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", container)  # fmt: skip
                _buildah("commit", container, BASE_IMAGE)
            finally:
                _buildah("rm", container)
        finally:
            _remove_tree(root)


def _remove_tree(root: Path) -> None:
    """Also what a killed debootstrap left; never across a mount."""
    run(["rm", "-rf", "--one-file-system", str(root)], timeout_seconds=120, check=False)


def _build_options() -> list[str]:
    """A company's certificate and mirror, where this machine's pip has them; never written into the image."""
    options = []
    certificate = next((os.environ[name] for name in _CERTIFICATE_VARIABLES if os.environ.get(name)), "")
    if certificate and Path(certificate).is_file():
        options += [f"--volume={certificate}:/run/ca.crt:ro", "--build-arg=PIP_CERT=/run/ca.crt"]
    if os.environ.get("PIP_INDEX_URL"):
        options.append(f"--build-arg=PIP_INDEX_URL={os.environ['PIP_INDEX_URL']}")
    return options


def _buildah(*arguments: str, log: str = "") -> str:
    storage = [f"--root={_STORAGE}", f"--runroot={_RUN}"]
    return run(
        ["buildah", *storage, *arguments],
        timeout_seconds=_BUILD_TIMEOUT_SECONDS,
        log=_log(log) if log else None,
        environment={**os.environ, "TMPDIR": str(paths.CACHE)},
    )


def _log(name: str) -> Path:
    file = paths.CACHE / "log" / f"{name}.log"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("")
    return file


def _built(reference: str) -> bool:
    return bool(_buildah("images", "--quiet", "--filter", f"reference={reference}").strip())


def _ctr() -> list[str]:
    return ["ctr", f"--address={paths.CONTAINERD_SOCKET}", "--namespace=k8s.io"]


def _references() -> set[str]:
    return set(run([*_ctr(), "images", "list", "--quiet"]).split())


def _import(archive: Path) -> None:
    run([*_ctr(), "images", "import", str(archive)], timeout_seconds=600)


def _remember(image: Image) -> None:
    """Note that containerd has the image, for a `build` while containerd is down."""
    known = _remembered()
    known[image.component] = image.tag
    (paths.CONTAINERD_ROOT / "atheria-images.json").write_text(json.dumps(known))


def _remembered() -> dict[str, str]:
    try:
        found: Mapping[str, str] = json.loads((paths.CONTAINERD_ROOT / "atheria-images.json").read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return dict(found)


def _loaded(image: Image) -> bool:
    return _remembered().get(image.component) == image.tag
