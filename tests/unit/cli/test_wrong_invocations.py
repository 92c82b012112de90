"""Whatever a person gets wrong ends with an exit code, one clear sentence, and no traceback."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.testing import CliRunner

from atheria_cli.__main__ import app
from atheria_cli.errors import ExitCode

USAGE, NOT_FOUND, UNREACHABLE, FAILED, TIMEOUT = (
    ExitCode.USAGE,
    ExitCode.NOT_FOUND,
    ExitCode.UNREACHABLE,
    ExitCode.FAILED,
    ExitCode.TIMEOUT,
)
KUBECTL = """#!{python}
import json, os, sys
arguments = sys.argv[1:]
mode = os.environ["KUBECTL_MODE"]
if mode == "refused":
    sys.exit("The connection to the server localhost:8080 was refused - did you specify the right host or port?")
if mode == "forbidden":
    sys.exit('Error from server (Forbidden): atheriamodels.atheria.dev is forbidden: User "eve" cannot get resource')
if mode == "missing":
    sys.exit("error: the server doesn't have a resource type 'atheriamodels'")
if mode == "context":
    sys.exit('error: context "nope" does not exist in kubeconfig')
if mode == "invalid":
    sys.exit('The AtheriaModel "m" is invalid: spec.scaling: minReplicas must be <= maxReplicas')
if "ghost" in arguments:
    sys.exit('Error from server (NotFound): atheriamodels.atheria.dev "ghost" not found')
if arguments[0] == "get" and "-l" in arguments or arguments[:2] == ["get", "atheriamodels.atheria.dev"] and arguments[2][0] == "-":
    print(json.dumps({{"items": []}}))
elif arguments[0] == "version":
    print(json.dumps({{"serverVersion": {{"gitVersion": "v1.35.4"}}}}))
elif arguments[0] == "get" and arguments[1] in ("nodes", "deployments", "customresourcedefinitions", "atheriahardwareprofiles.atheria.dev"):
    print(json.dumps({{"items": []}}))
elif arguments[0] == "get":
    print(json.dumps({{"metadata": {{"name": "m", "namespace": "demo", "generation": 2}}, "status": {{}}}}))
"""


@pytest.fixture(autouse=True)
def _kubectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "kubectl"
    program.write_text(KUBECTL.format(python=sys.executable))
    program.chmod(0o755)
    (tmp_path / "calls.csv").write_text("time,service_seconds\n0,1\n1,2\n")
    (tmp_path / "other.yaml").write_text("kind: Deployment\n")
    (tmp_path / "broken.yaml").write_text("kind: [\n")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "key").write_text("secret")
    (tmp_path / "lines").write_text("two\nlines")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("KUBECTL_MODE", "answers")
    monkeypatch.setenv("COLUMNS", "300")


WRONG = [
    ("atheria-demo", USAGE, "No such command 'atheria-demo'"),
    ("list --namespace", USAGE, "requires an argument"),
    ("list --output yaml", USAGE, "'yaml' is not one of 'table', 'json'"),
    ("list everything", USAGE, "unexpected extra argument"),
    ("list --all", USAGE, "No such option"),
    ("get", USAGE, "Missing argument 'model'"),
    ("get ghost", NOT_FOUND, '"ghost" not found; atheria list -A shows what there is'),
    ("get ghost -o json", NOT_FOUND, '"ghost" not found'),
    ("get a b", USAGE, "unexpected extra argument"),
    ("watch ghost --timeout 1", NOT_FOUND, "no model 'ghost' here; there are: none"),
    ("watch --timeout -1", USAGE, "should be greater than or equal to 0"),
    ("watch --timeout soon", USAGE, "should be a valid number"),
    ("watch --until-ready --timeout 0.01", TIMEOUT, "not ready within 0.01 s"),
    ("logs", USAGE, "give the name of a model, or --component operator or gateway"),
    ("logs m --component operator", USAGE, "give the name of a model, or --component"),
    ("logs --component server", USAGE, "'server' is not one of 'operator', 'gateway'"),
    ("logs ghost", NOT_FOUND, '"ghost" not found'),
    ("logs m", FAILED, "the operator has not seen m yet"),
    ("logs --component gateway", NOT_FOUND, "no pod of the gateway runs in this cluster"),
    ("logs m --tail many", USAGE, "should be a valid integer"),
    ("logs m --tail -5", USAGE, "should be greater than or equal to 0"),
    ("plan", USAGE, "Missing option '--filename'"),
    ("plan -f ghost.yaml", NOT_FOUND, "ghost.yaml does not exist; give YAML files or folders"),
    ("plan model.yaml", USAGE, "Missing option '--filename'"),
    ("apply", USAGE, "Missing option '--filename'"),
    ("apply -f ghost.yaml", NOT_FOUND, "ghost.yaml does not exist"),
    ("apply -f other.yaml --wait -1", USAGE, "should be greater than or equal to 0"),
    ("plan -f -", USAGE, "--filename is -: standard input is empty"),
    ("apply -f -", USAGE, "--filename is -: standard input is empty"),
    ("apply -f - -f -", USAGE, "--filename - is given 2 times"),
    ("apply -f - -f ghost.yaml", NOT_FOUND, "ghost.yaml does not exist"),
    ("rollout", USAGE, "Missing argument"),
    ("rollout stop m", USAGE, "'stop' is not one of 'status', 'pause', 'resume', 'promote', 'rollback'"),
    ("rollout status", USAGE, "Missing argument 'model'"),
    ("rollout status ghost", NOT_FOUND, '"ghost" not found'),
    ("rollout pause ghost", NOT_FOUND, '"ghost" not found'),
    (
        "rollout status m --wait --timeout 0.01",
        TIMEOUT,
        "not over within 0.01 s: the operator has not seen the change",
    ),
    ("explain", USAGE, "Missing argument 'model'"),
    ("explain ghost", NOT_FOUND, '"ghost" not found'),
    ("infer", USAGE, "Missing argument 'model'"),
    ("infer m --address nowhere", USAGE, "--address is 'nowhere'; expected host:port"),
    ("infer m --address host:0", USAGE, "expected host:port"),
    ("infer m --address 127.0.0.1:1 --timeout 2", UNREACHABLE, "127.0.0.1:1"),
    ("infer m --address 127.0.0.1:1 --timeout 0", USAGE, "should be greater than or equal to"),
    ("infer m --address 127.0.0.1:1 --api-key-file ghost", NOT_FOUND, "ghost cannot be read"),
    ("infer m --address 127.0.0.1:1 --cert key", USAGE, "--cert and --key belong together"),
    ("infer m --address 127.0.0.1:1 --cert key --key key", USAGE, "--cert needs --ca"),
    ("infer m --address 127.0.0.1:1 --ca ghost", NOT_FOUND, "ghost cannot be read"),
    ("infer m --address 127.0.0.1:1 -p steps", USAGE, "expected NAME=VALUE, e.g. steps=8"),
    (
        "infer m --address 127.0.0.1:1 -p steps=[1]",
        USAGE,
        "allowed: a text, a number of at most 64 bits, true or false",
    ),
    ("infer m --address 127.0.0.1:1 --save a.foo", USAGE, "allowed: a name that ends in .npz"),
    ("infer m --address 127.0.0.1:1 --save none/a.npz", NOT_FOUND, "its folder does not exist"),
    ("infer m", UNREACHABLE, "the cluster has no gateway of Atheria"),
    ("stream m", UNREACHABLE, "give --address host:port"),
    ("stream m --address 127.0.0.1:1 --save a.avi", USAGE, "allowed: a name that ends in .mp4, .gif"),
    ("stream m --save a.mp4 --fps 0", USAGE, "should be greater than or equal to 0.1"),
    ("infer m -o out.npz", USAGE, "'out.npz' is not one of 'table', 'json'. --save writes a file."),
    ("list -o out.npz", USAGE, "is not one of 'table', 'json'."),
    ("infer m --address http://127.0.0.1:8001", USAGE, "host:port of gRPC without a scheme"),
    ("bench m --callers 0", USAGE, "should be greater than or equal to 1"),
    ("bench m --rate 0", USAGE, "should be greater than or equal to"),
    ("bench m --seconds 0", USAGE, "should be greater than or equal to"),
    ("bench m --address 127.0.0.1:1 --timeout 2", UNREACHABLE, "127.0.0.1:1"),
    ("replay", USAGE, "Missing argument 'calls'"),
    ("replay calls.csv", USAGE, "give --model NAME of a model in the cluster, or --manifest FILE.yaml"),
    ("replay calls.csv --manifest ghost.yaml", NOT_FOUND, "ghost.yaml"),
    ("replay calls.csv --manifest other.yaml", USAGE, "has no document of kind AtheriaModel"),
    ("replay calls.csv --manifest broken.yaml", USAGE, "broken.yaml"),
    ("replay calls.csv --slots -1 --model m", USAGE, "should be greater than or equal to 0"),
    ("doctor --cluster a", USAGE, "No such option"),
    ("doctor", FAILED, "findings keep models from running"),
    ("infer m --address 127.0.0.1:1 -p steps=99999999999999999999", USAGE, "a number of at most 64 bits"),
    ("bench m --address 127.0.0.1:1 --plot none/a.svg", NOT_FOUND, "its folder does not exist"),
    ("bench m --address 127.0.0.1:1 --plot a.txt", USAGE, "allowed: a name that ends in .svg"),
    ("demo --picture a.foo", USAGE, "allowed: a name that ends in .png"),
    ("demo --picture key/a.png", NOT_FOUND, "cannot be made"),
    ("infer m --address 127.0.0.1:1 --api-key-file lines", USAGE, "expected one line without spaces"),
    ("infer m --address 127.0.0.1:1 --ca binary.csv", USAGE, "is not text"),
    ("demo --values", USAGE, "requires an argument"),
    ("demo --values a.yaml", USAGE, "--values belongs to a cluster: add --cluster, --context or --local"),
]
CLUSTER = [
    ("refused", UNREACHABLE, "name a cluster with --context, or bring one up: make demo"),
    ("forbidden", FAILED, 'User "eve" cannot get resource; ask for the right'),
    ("missing", FAILED, "Atheria is not installed in this cluster: atheria doctor"),
    ("context", UNREACHABLE, 'context "nope" does not exist'),
]


def ended(arguments: str) -> tuple[int, str]:
    """Exit code and what was said; a traceback fails the test at once."""
    done = CliRunner().invoke(app, arguments.split())
    assert done.exception is None or isinstance(done.exception, SystemExit), (arguments, done.exception)
    text = " ".join(done.output.replace("│", " ").split())
    assert "Traceback" not in text
    return done.exit_code, text


@pytest.mark.parametrize(("arguments", "code", "words"), WRONG)
def test_a_wrong_invocation_ends_with_a_sentence(arguments: str, code: ExitCode, words: str) -> None:
    found, text = ended(arguments)
    assert words in text
    assert found == code


@pytest.mark.parametrize(("mode", "code", "words"), CLUSTER)
@pytest.mark.parametrize("arguments", ["list", "get m", "watch --timeout 1", "explain m", "rollout status m"])
def test_a_cluster_that_does_not_answer_ends_with_its_own_words(
    arguments: str, mode: str, code: ExitCode, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECTL_MODE", mode)
    found, text = ended(arguments)
    assert words in text
    assert found == code


def test_a_spec_that_the_api_server_refuses_is_told_in_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECTL_MODE", "invalid")
    found, text = ended("apply -f other.yaml")
    assert "minReplicas must be <= maxReplicas" in text
    assert found == FAILED


def test_without_kubectl_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    (tmp_path / "kubectl").rename(tmp_path / "elsewhere")
    found, text = ended("list")
    assert "kubectl is not on PATH: install kubectl" in text
    assert found == NOT_FOUND


def test_a_kubectl_that_lies_in_the_folder_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    assert (tmp_path / "kubectl").exists()
    assert Path.cwd() == tmp_path
    assert ended("list")[0] == NOT_FOUND


def test_doctor_ends_like_every_command_where_no_cluster_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECTL_MODE", "refused")
    found, text = ended("doctor")
    assert "no cluster answers" in text
    assert found == UNREACHABLE


def test_the_version_is_told() -> None:
    found, text = ended("--version")
    assert found == 0
    assert text == f"atheria {version('atheria')}"


def test_help_and_refusals_are_plain_where_nobody_looks() -> None:
    for arguments in ("--help", "get --help", "get"):
        assert not set("│╭╰─") & set(CliRunner().invoke(app, arguments.split()).output)
