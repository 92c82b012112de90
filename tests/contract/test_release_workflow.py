"""The release workflow, which does not run here: what it names exists, what it uses is pinned, and its scripts do what they say."""

from __future__ import annotations

import os
import re
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.contract.chart import CHART, ROOT, helm, helm_program
from tests.contract.oci_registry import OciRegistry, serving

WORKFLOW = ROOT / ".github" / "workflows" / "release.yaml"
PINNED = re.compile(r"uses: [\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$")


def jobs() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))["jobs"]
    return found


def steps() -> Iterator[dict[str, Any]]:
    for job in jobs().values():
        yield from job["steps"]


def test_every_action_is_pinned_by_its_commit_with_the_version_beside_it() -> None:
    lines = [line.strip() for line in WORKFLOW.read_text(encoding="utf-8").splitlines() if "uses:" in line]
    assert len(lines) == sum("uses" in step for step in steps())
    assert not [line for line in lines if not PINNED.search(line)]


def test_each_job_has_an_end_and_no_more_rights_than_it_names() -> None:
    assert yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))["permissions"] == {}
    for name, job in jobs().items():
        assert job["timeout-minutes"] <= 120, name
        assert job["permissions"].get("contents") == "read", name
        signs = any("cosign" in str(step.get("uses")) for step in job["steps"])
        assert set(job["permissions"]) == ({"contents", "id-token"} if signs else {"contents"}), name
        assert set(job.get("needs", "audit").split()) <= jobs().keys()


def test_every_shell_step_is_one_script_of_the_repository_and_no_expression_is_pasted_into_it() -> None:
    commands = [step["run"].strip() for step in steps() if "run" in step]
    scripts = {command.split()[0] for command in commands}
    assert scripts == {
        "tools/setup.sh", "tools/audit.sh", "tools/release/sign.sh", "tools/release/publish_chart.sh",
    }  # fmt: skip
    assert not [command for command in commands if "${{" in command or "\n" in command]
    for script in sorted(scripts):
        assert os.access(ROOT / script, os.X_OK), script
        subprocess.run(["bash", "-n", ROOT / script], check=True, timeout=60)


def test_every_image_is_a_target_of_the_dockerfile_and_those_of_the_chart_are_among_them() -> None:
    stages = set(re.findall(r"^FROM \S+ AS (\S+)$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.M))
    image = jobs()["image"]
    components = set(image["strategy"]["matrix"]["component"])
    assert components <= stages
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    named = {values[part]["image"]["repository"] for part in ("operator", "gateway", "server")}
    assert named <= {f"atheria/{one}" for one in components}
    (push,) = [step for step in image["steps"] if step.get("with", {}).get("push")]
    # The chart's appVersion is the tag, as it is.
    assert push["with"]["tags"] == "${{ vars.REGISTRY }}/${{ matrix.component }}:${{ github.ref_name }}"
    assert (push["with"]["sbom"], push["with"]["provenance"]) == (True, "mode=max")


def test_every_variable_of_a_script_is_given_by_its_step() -> None:
    (step,) = [step for step in steps() if step.get("run") == "tools/release/publish_chart.sh"]
    text = (ROOT / "tools/release/publish_chart.sh").read_text(encoding="utf-8")
    wanted = set(re.findall(r"\$\{?(REGISTRY\w*)", text))
    assert set(step["env"]) == wanted
    (step,) = [step for step in steps() if str(step.get("run")).startswith("tools/release/sign.sh")]
    assert step["run"] == 'tools/release/sign.sh "$IMAGE" "$DIGEST"'
    assert set(step["env"]) == {"IMAGE", "DIGEST"}


class Publishing:
    """The scripts with a real Helm, and a cosign that writes down what it is asked for."""

    def __init__(self, folder: Path) -> None:
        bin_directory = folder / "bin"
        bin_directory.mkdir()
        (bin_directory / "helm").symlink_to(helm_program())
        cosign = bin_directory / "cosign"
        self._asked = folder / "cosign.txt"
        cosign.write_text(f'#!/bin/sh\necho "$@" >> {self._asked}\n', encoding="utf-8")
        cosign.chmod(0o755)
        self._path = f"{bin_directory}:/usr/local/bin:/usr/bin:/bin"
        self._home = folder

    def run(self, script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [ROOT / "tools" / "release" / script, *arguments],
            env={"PATH": self._path, "HOME": str(self._home), **environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    @property
    def asked(self) -> list[str]:
        """What cosign was asked for."""
        return self._asked.read_text(encoding="utf-8").splitlines() if self._asked.exists() else []


@pytest.fixture
def publishing(tmp_path: Path) -> Publishing:
    return Publishing(tmp_path)


def test_the_chart_is_pushed_with_the_tag_and_the_registry_of_its_images_and_signed_by_its_digest(
    publishing: Publishing, tmp_path: Path
) -> None:
    registry = OciRegistry()
    with serving(registry) as host:
        done = publishing.run(
            "publish_chart.sh", "--plain-http", REGISTRY=f"{host}/lab/atheria", GITHUB_REF_NAME="v1.2.3-rc.1"
        )
        assert done.returncode == 0, done.stderr
        digest = registry.manifests["lab/atheria/charts/atheria:1.2.3-rc.1"]
        assert publishing.asked == [f"sign --yes {host}/lab/atheria/charts/atheria@{digest}"]
        chart = f"oci://{host}/lab/atheria/charts/atheria"
        pulled = helm(
            "pull", chart, "--version", "1.2.3-rc.1", "--plain-http", "--destination", str(tmp_path)
        )
        assert pulled.returncode == 0, pulled.stderr
    file = tmp_path / "atheria-1.2.3-rc.1.tgz"
    with tarfile.open(file) as archive:
        found = archive.extractfile("atheria/Chart.yaml")
        assert found is not None
        about = yaml.safe_load(found.read())
    assert (about["version"], about["appVersion"]) == ("1.2.3-rc.1", "v1.2.3-rc.1")
    rendered = helm("template", "a", str(file), "--kube-version", "1.35.4").stdout
    assert f"image: {host}/lab/atheria/operator:v1.2.3-rc.1" in rendered.replace('"', "")
    assert (CHART / "values.yaml").read_text(encoding="utf-8").count('  registry: ""\n') == 1, (
        "it is left alone"
    )


@pytest.mark.parametrize(
    ("registry", "tag", "words"),
    [
        ("", "v1.2.3", "REGISTRY is not set"),
        ("registry.example.org/other", "v1.2.3", "has to end in /atheria"),
        ("registry.example.org/atheria", "1.2.3", "use v and a semantic version"),
        ("registry.example.org/atheria", "v1.2", "use v and a semantic version"),
        # Nobody listens there: a push that fails is not signed.
        ("localhost:1/atheria", "v1.2.3", "helm push"),
    ],
)
def test_what_cannot_be_published_is_refused_and_nothing_is_signed(
    publishing: Publishing, registry: str, tag: str, words: str
) -> None:
    done = publishing.run("publish_chart.sh", "--plain-http", REGISTRY=registry, GITHUB_REF_NAME=tag)
    assert done.returncode != 0
    assert words in done.stderr
    assert publishing.asked == []


@pytest.mark.parametrize("digest", ["", "v1.2.3", "sha256:12"])
def test_nothing_is_signed_by_a_name_that_can_be_moved(publishing: Publishing, digest: str) -> None:
    done = publishing.run("sign.sh", "registry.example.org/atheria/operator", digest)
    assert done.returncode == 1
    assert "has no digest" in done.stderr
    assert publishing.asked == []
