"""The demo as a person reads it: install, apply, call, stream, idle to zero, wake. Called by `atheria demo`."""

from __future__ import annotations

import re
import statistics
import threading
import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from rich.markup import escape

from atheria_cli.calls.gateway import forwarded
from atheria_cli.cluster import Cluster, ClusterError, wait_for
from atheria_cli.demo.calls import METRICS, FloatArray, QcaClient
from atheria_cli.model.summary import condition
from atheria_cli.options import Output
from atheria_cli.picture import contact_sheet
from atheria_cli.progress import Progress
from atheria_contract import names

NAMESPACE = "demo"
SYSTEM_NAMESPACE = "atheria-system"
MODEL = "qca"
BURST_CALLS = 64
FRAMES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    """What the command line asked for."""

    repository: Path
    local: bool
    context: str
    values: tuple[Path, ...]
    picture: Path


def run_demo(options: DemoOptions, output: Output = Output.TABLE) -> None:
    """The whole show; with Output.JSON a line of JSON for each thing that is said. Raises CommandError with the failing step's own words."""
    said = Progress(output=output)
    cluster = Cluster(
        programs=options.repository / ".local" / "bin",
        kubeconfig=options.repository / ".local" / "kubeconfig" if options.local else None,
        context=options.context,
    )
    install(cluster, options, said)
    said.advise("\n[bold]A model, from kubectl apply to Ready[/]")
    apply(cluster, options, said)
    local_gateway = nullcontext(f"127.0.0.1:{names.PORT_GRPC}")
    with local_gateway if options.local else forwarded(cluster) as target:
        client = QcaClient(target, MODEL, NAMESPACE)
        try:
            _calls(cluster, client, options.picture, said)
            _zero_and_back(cluster, client, said)
        finally:
            client.close()
    _next_steps(options, said)


def install(cluster: Cluster, options: DemoOptions, said: Progress | None = None) -> None:
    """Install or upgrade the chart and wait until operator and gateway are ready."""
    said = said or Progress()
    chart = options.repository / "charts" / "atheria"
    # The second file has the tags of the images that `atheria-local images` loaded.
    files = (
        [chart / "values-local.yaml", options.repository / ".local" / "images.yaml"] if options.local else []
    )
    arguments = [item for file in (*files, *options.values) for item in ("-f", str(file))]
    with said.step("helm upgrade --install atheria") as facts:
        cluster.helm(
            "upgrade", "--install", "atheria", str(chart),
            "--namespace", SYSTEM_NAMESPACE, "--create-namespace", "--wait", "--timeout", "5m", *arguments,
        )  # fmt: skip
        facts.update(namespace=SYSTEM_NAMESPACE)


def apply(cluster: Cluster, options: DemoOptions, said: Progress) -> None:
    """Apply the example and follow its phases until it is Ready."""
    manifest = options.repository / "examples" / "qca" / "model.yaml"
    with said.step("kubectl apply -f examples/qca/model.yaml"):
        namespace = cluster.kubectl("create", "namespace", NAMESPACE, "--dry-run=client", "-o", "yaml")
        cluster.kubectl("apply", "-f", "-", stdin=namespace)
        cluster.kubectl("apply", "-n", NAMESPACE, "-f", str(manifest))
    follow_until_ready(cluster, said, timeout_seconds=300)


def follow_until_ready(cluster: Cluster, said: Progress, timeout_seconds: float) -> None:
    """Print each change of the Ready condition's words with the seconds since the apply."""
    began = time.monotonic()
    seen = ""

    def look() -> bool | None:
        nonlocal seen
        model = cluster.get("atheriamodel", MODEL, NAMESPACE)
        ready = condition(model, "Ready")
        words = f"{ready.get('reason', 'Pending')}: {ready.get('message', 'waiting for the operator')}"
        if words != seen:
            seen = words
            seconds = time.monotonic() - began
            said.say(
                f"  [dim]{seconds:6.1f} s[/]  {escape(words)}", seconds=round(seconds, 3), condition=ready
            )
        current = model.get("status", {}).get("observedGeneration") == model["metadata"]["generation"]
        return True if current and ready.get("status") == "True" else None

    wait_for(f"AtheriaModel {MODEL} Ready", look, timeout_seconds=timeout_seconds, describe=lambda: seen)


def _calls(cluster: Cluster, client: QcaClient, picture: Path, said: Progress) -> None:
    said.advise("\n[bold]Calls, with the unmodified tritonclient[/]")
    first = client.evolve_seed(seed=7, size=64, steps=8)
    said.say(
        f"  first call, with a state made from a seed: {first.seconds * 1e3:.0f} ms (measured)",
        seconds=first.seconds,
    )
    state: FloatArray = first.outputs["state"]
    second = client.evolve_state(state, steps=8)
    said.say(
        f"  one state in, evolved by 8 steps, out: {state.shape} in {second.seconds * 1e3:.1f} ms (measured)",
        seconds=second.seconds,
    )
    metrics = {name: float(value) for name, value in zip(METRICS, second.outputs["metrics"][0], strict=True)}
    values = ", ".join(f"{name} {value:.4f}" for name, value in metrics.items())
    said.say(f"  metrics of the answer: {values}", **metrics)

    before = _batch_counters(cluster)
    answers = client.burst(state, BURST_CALLS, steps=8)
    after = _batch_counters(cluster)
    batches, rows = after[0] - before[0], after[1] - before[1]
    waits = sorted(answer.seconds for answer in answers)
    # A pod that came or went between the two looks takes its counters with it.
    counted = (
        f"{rows:.0f} rows in {batches:.0f} batches, mean batch {rows / batches:.1f}"
        if batches > 0
        else "the pod changed meanwhile, so its batches were not counted"
    )
    said.say(
        f"  burst of {BURST_CALLS} calls, all answered: {counted}, "
        f"p50 {statistics.median(waits) * 1e3:.0f} ms, last {waits[-1] * 1e3:.0f} ms (measured)",
        calls=len(answers),
        batches=batches,
        p50_seconds=statistics.median(waits),
        last_seconds=waits[-1],
    )

    began = time.monotonic()
    frames = list(client.stream(seed=7, size=64, steps=2 * FRAMES, every=2))
    seconds = time.monotonic() - began
    step_shown, shown = frames[len(frames) // 3]
    said.say(
        f"  stream of {len(frames)} frames in {seconds:.2f} s (measured); density at step {step_shown}:",
        frames=len(frames),
        seconds=seconds,
    )
    said.draw(shown)
    contact_sheet(frames, picture)
    said.say(f"  all frames: {picture}", picture=str(picture))


def _batch_counters(cluster: Cluster) -> tuple[float, float]:
    """(batches, rows) since the pods started, summed over the model's pods."""
    batches = rows = 0.0
    for pod in cluster.pods(NAMESPACE, f"{names.LABEL_MODEL}={MODEL}"):
        if pod["metadata"].get("deletionTimestamp"):
            continue
        text = cluster.metrics(NAMESPACE, pod["metadata"]["name"], names.PORT_HTTP)
        batches += _sample(text, f"{names.METRIC_BATCH_SIZE}_count")
        rows += _sample(text, f"{names.METRIC_BATCH_SIZE}_sum")
    return batches, rows


def _sample(text: str, name: str) -> float:
    """Sum of a metric's samples over its labels in Prometheus text format."""
    return sum(float(value) for value in re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, re.MULTILINE))


def _zero_and_back(cluster: Cluster, client: QcaClient, said: Progress) -> None:
    said.advise("\n[bold]To zero, and back without losing the call[/]")
    with said.step("idle, until the model is at zero replicas") as facts:

        def at_zero() -> bool | None:
            active = condition(cluster.get("atheriamodel", MODEL, NAMESPACE), "Active")
            gone = not cluster.pods(NAMESPACE, f"{names.LABEL_MODEL}={MODEL}")
            return True if active.get("status") == "False" and gone else None

        wait_for(
            "the scale to zero",
            at_zero,
            timeout_seconds=180,
            describe=lambda: "see `kubectl describe am qca -n demo`",
        )
        facts.update(pods=0)
    watch = _ColdStartWatch(cluster, said)
    with said.step("the next call, held by the gateway until the model is warm"), watch:
        answer = client.evolve_seed(seed=8, size=64, steps=8, timeout_seconds=180)
    for phase, seconds in watch.phases(answer.seconds):
        said.say(f"  {phase:<44}{seconds:6.2f} s (measured)", phase=phase, seconds=round(seconds, 3))


class _ColdStartWatch:
    """Looks at the woken pod while the call waits, and splits the wait into phases by the pod's own conditions."""

    def __init__(self, cluster: Cluster, said: Progress) -> None:
        self._cluster = cluster
        self._said = said
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._seen: dict[str, float] = {}
        self._began = 0.0

    def __enter__(self) -> None:
        self._began = time.monotonic()
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(timeout=60)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                pods = self._cluster.pods(NAMESPACE, f"{names.LABEL_MODEL}={MODEL}")
            except ClusterError as error:
                self._said.say(f"  (looking at the pod failed: {error})")
                return
            for pod in pods:
                reached = {
                    c["type"] for c in pod.get("status", {}).get("conditions", []) if c["status"] == "True"
                }
                running = any(
                    s.get("state", {}).get("running")
                    for s in pod.get("status", {}).get("containerStatuses", [])
                )
                facts = {
                    "pod created": True,
                    "scheduled": "PodScheduled" in reached,
                    "container running": running,
                }
                for name, true in facts.items():
                    if true:
                        self._seen.setdefault(name, time.monotonic() - self._began)
            self._stop.wait(0.1)

    def phases(self, total_seconds: float) -> list[tuple[str, float]]:
        """(what was waited for, seconds), in order, adding up to the caller's wait."""
        marks = [
            ("call held → scale 0→1 → pod created", self._seen.get("pod created", 0.0)),
            ("scheduled", self._seen.get("scheduled", 0.0)),
            ("container started", self._seen.get("container running", 0.0)),
            ("imports, load, warm-up, ready, answer", total_seconds),
        ]
        before = 0.0
        result = []
        for name, at in marks:
            result.append((name, max(0.0, at - before)))
            before = max(before, at)
        return [*result, ("the caller waited", total_seconds)]


def _next_steps(options: DemoOptions, said: Progress) -> None:
    if options.local:
        url = f"http://127.0.0.1:{names.PORT_HTTP}/live/"
        said.say(f"\nSee it live: {url}", url=url)
    said.advise("\n[bold]Next[/]")
    prefix = (
        "export KUBECONFIG=$PWD/.local/kubeconfig PATH=$PWD/.local/bin:$PATH"
        if options.local
        else "kubectl config current-context"
    )
    for command in (
        prefix,
        "kubectl get am -A && kubectl describe am qca -n demo",
        "kubectl apply -n demo -f examples/qca-kerr/model.yaml",
        "make demo-down" if options.local else "helm uninstall atheria -n atheria-system",
    ):
        said.advise(f"  {command}")
