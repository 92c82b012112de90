"""What a shell offers while a person types: kubectl's own completion, and bash's after `atheria --install-completion`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from atheria_local.control_plane import ControlPlane
from tests.integration.cli.cluster import environment
from tests.integration.operator.harness import eventually

pytestmark = pytest.mark.integration
MODEL = """
apiVersion: atheria.dev/v1alpha1
kind: AtheriaModel
metadata: {{name: {name}, namespace: {namespace}}}
spec: {{model: {{source: "builtin://qca"}}}}
---
"""
SCRIPTS = {
    "atheria": "atheria_cli.__main__",
    "kubectl-atheria": "atheria_cli.__main__",
    "kubectl_complete-atheria": "atheria_cli.kubectl_completion",
}


@pytest.fixture(scope="module")
def shell(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of a person with two models in the namespace `lab` and one in `default`, and our programs on PATH."""
    folder = tmp_path_factory.mktemp("bin")
    for name, module in SCRIPTS.items():
        script = folder / name
        script.write_text(f"#!{sys.executable}\nfrom {module} import main\nmain()\n")
        script.chmod(0o755)
    kubectl(plane, "create", "namespace", "lab")
    models = [("lab", "waves"), ("lab", "writer"), ("default", "elsewhere")]
    text = "".join(MODEL.format(name=name, namespace=namespace) for namespace, name in models)
    kubectl(plane, "apply", "-f", "-", stdin=text)
    found = environment(plane, HOME=str(tmp_path_factory.mktemp("home")))
    yield {**found, "PATH": f"{folder}:{found['PATH']}"}
    kubectl(plane, "delete", "-f", "-", stdin=text)


def kubectl(plane: ControlPlane, *arguments: str, stdin: str | None = None) -> None:
    done = subprocess.run(
        [*plane.kubectl, *arguments], input=stdin, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def run(shell: dict[str, str], *command: str) -> str:
    done = subprocess.run(command, env=shell, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def offered(shell: dict[str, str], *words: str) -> tuple[list[str], str]:
    """Candidates, and the directive, as kubectl gives them to the shell after `kubectl`."""
    *found, directive = run(shell, "kubectl", "__complete", *words).splitlines()
    return [line.partition("\t")[0] for line in found], directive


def test_kubectl_offers_the_plugins_commands_options_models_and_namespaces(shell: dict[str, str]) -> None:
    commands, directive = offered(shell, "atheria", "")
    assert {"list", "explain", "rollout"} <= set(commands)
    assert directive == ":4", "no file names"
    # A cluster that takes longer than two seconds offers nothing: a person presses Tab again.
    eventually(
        "the models of lab",
        lambda: offered(shell, "atheria", "get", "-n", "lab", "") == (["waves", "writer"], ":4"),
    )
    assert offered(shell, "atheria", "apply", "-f", "") == ([], ":0"), "file names are the shell's"


def test_bash_offers_the_same_once_the_completion_is_installed(shell: dict[str, str]) -> None:
    said = run(shell, "bash", "-c", "atheria --install-completion; true")
    assert "bash completion installed" in said
    (script,) = Path(shell["HOME"]).glob(".bash_completions/*.sh")
    assert str(script) in (Path(shell["HOME"]) / ".bashrc").read_text()
    typed = (
        f"source {script}; complete -p atheria >&2; COMP_WORDS=(atheria get -n lab w); COMP_CWORD=4; "
        '_atheria_completion atheria; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    # As above.
    eventually(
        "the models of lab", lambda: run(shell, "bash", "--norc", "-c", typed).split() == ["waves", "writer"]
    )


def test_a_cluster_that_is_gone_offers_nothing_and_says_nothing(
    shell: dict[str, str], tmp_path: Path
) -> None:
    nowhere = {**shell, "KUBECONFIG": str(tmp_path / "none")}
    done = subprocess.run(
        ["kubectl_complete-atheria", "get", ""],
        env=nowhere, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, ":0\n", "")
