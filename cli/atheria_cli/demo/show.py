"""The demo as a person reads it: install, apply, call, stream, idle to zero, wake. Called by `atheria demo`."""

from __future__ import annotations

import re
import socket
import statistics
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from atheria_cli.demo.calls import METRICS, FloatArray, ModelClient
from atheria_cli.demo.cluster import Cluster, ClusterError, wait_for
from atheria_cli.demo.picture import contact_sheet, terminal
from atheria_cli.progress import console, heading, say, step
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


def run_demo(options: DemoOptions) -> None:
    """The whole show. Raises ClusterError with the failing step's own words."""
    cluster = Cluster(
        programs=options.repository / ".local" / "bin",
        kubeconfig=options.repository / ".local" / "kubeconfig" if options.local else None,
        context=options.context,
    )
    install(cluster, options)
    heading("A model, from kubectl apply to Ready")
    apply(cluster, options)
    with _gateway(cluster, local=options.local) as target:
        client = ModelClient(target, MODEL, NAMESPACE)
        try:
            _calls(cluster, client, options.picture)
            _zero_and_back(cluster, client)
        finally:
            client.close()
    _next_steps(options)


def install(cluster: Cluster, options: DemoOptions) -> None:
    """Install or upgrade the chart and wait until operator and gateway are ready."""
    chart = options.repository / "charts" / "atheria"
    # The second file has the tags of the images that `atheria-local images` loaded.
    files = (
        [chart / "values-local.yaml", options.repository / ".local" / "images.yaml"] if options.local else []
    )
    arguments = [item for file in (*files, *options.values) for item in ("-f", str(file))]
    with step("helm upgrade --install atheria") as notes:
        cluster.helm(
            "upgrade", "--install", "atheria", str(chart),
            "--namespace", SYSTEM_NAMESPACE, "--create-namespace", "--wait", "--timeout", "5m", *arguments,
        )  # fmt: skip
        notes.append(f"operator and gateway in namespace {SYSTEM_NAMESPACE}")


def apply(cluster: Cluster, options: DemoOptions) -> None:
    """Apply the example and follow its phases until it is Ready."""
    manifest = options.repository / "examples" / "qca" / "model.yaml"
    with step("kubectl apply -f examples/qca/model.yaml"):
        namespace = cluster.kubectl("create", "namespace", NAMESPACE, "--dry-run=client", "-o", "yaml")
        cluster.kubectl("apply", "-f", "-", stdin=namespace)
        cluster.kubectl("apply", "-n", NAMESPACE, "-f", str(manifest))
    follow_until_ready(cluster, timeout_seconds=300)


def conditions(model: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Conditions by type; empty before the operator's first look."""
    return {c["type"]: c for c in model.get("status", {}).get("conditions", [])}


def follow_until_ready(cluster: Cluster, timeout_seconds: float) -> None:
    """Print each change of the Ready condition's words with the seconds since the apply."""
    began = time.monotonic()
    seen = ""

    def look() -> bool | None:
        nonlocal seen
        model = cluster.get("atheriamodel", MODEL, NAMESPACE)
        ready = conditions(model).get("Ready", {})
        words = f"{ready.get('reason', 'Pending')}: {ready.get('message', 'waiting for the operator')}"
        if words != seen:
            seen = words
            console.print(f"  [dim]{time.monotonic() - began:6.1f} s[/]  {words}")
        current = model.get("status", {}).get("observedGeneration") == model["metadata"]["generation"]
        return True if current and ready.get("status") == "True" else None

    wait_for(f"AtheriaModel {MODEL} Ready", look, timeout_seconds=timeout_seconds, describe=lambda: seen)


def _calls(cluster: Cluster, client: ModelClient, picture: Path) -> None:
    heading("Calls, with the unmodified tritonclient")
    first = client.evolve_seed(seed=7, size=64, steps=8)
    say(f"  first call, with a state made from a seed: {first.seconds * 1e3:.0f} ms (measured)")
    state: FloatArray = first.outputs["state"]
    second = client.evolve_state(state, steps=8)
    say(f"  one state in, evolved by 8 steps, out: {state.shape} in {second.seconds * 1e3:.1f} ms (measured)")
    values = ", ".join(f"{n} {v:.4f}" for n, v in zip(METRICS, second.outputs["metrics"][0], strict=True))
    say(f"  metrics of the answer: {values}")

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
    say(
        f"  burst of {BURST_CALLS} calls, all answered: {counted}, "
        f"p50 {statistics.median(waits) * 1e3:.0f} ms, last {waits[-1] * 1e3:.0f} ms (measured)"
    )

    began = time.monotonic()
    frames = list(client.stream(seed=7, size=64, steps=2 * FRAMES, every=2))
    seconds = time.monotonic() - began
    stack = np.stack([density for _, density in frames])
    low, high = float(np.percentile(stack, 1)), float(np.percentile(stack, 99))
    step_shown, shown = frames[len(frames) // 3]
    say(f"  stream of {len(frames)} frames in {seconds:.2f} s (measured); density at step {step_shown}:")
    console.print(terminal(shown, low, high, colour=console.color_system is not None))
    contact_sheet(frames, picture)
    say(f"  all frames: {picture}")


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


def _zero_and_back(cluster: Cluster, client: ModelClient) -> None:
    heading("To zero, and back without losing the call")
    with step("idle, until the model is at zero replicas") as notes:

        def at_zero() -> bool | None:
            active = conditions(cluster.get("atheriamodel", MODEL, NAMESPACE)).get("Active", {})
            gone = not cluster.pods(NAMESPACE, f"{names.LABEL_MODEL}={MODEL}")
            return True if active.get("status") == "False" and gone else None

        wait_for(
            "the scale to zero",
            at_zero,
            timeout_seconds=180,
            describe=lambda: "see `kubectl describe am qca -n demo`",
        )
        notes.append("0 pods, 0 GPU-seconds")
    watch = _ColdStartWatch(cluster)
    with step("the next call, held by the gateway until the model is warm"), watch:
        answer = client.evolve_seed(seed=8, size=64, steps=8, timeout_seconds=180)
    for phase, seconds in watch.phases(answer.seconds):
        say(f"  {phase:<44}{seconds:6.2f} s (measured)")


class _ColdStartWatch:
    """Looks at the woken pod while the call waits, and splits the wait into phases by the pod's own conditions."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
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
                say(f"  (looking at the pod failed: {error})")
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


@contextmanager
def _gateway(cluster: Cluster, *, local: bool) -> Iterator[str]:
    """`host:port` of the gateway's gRPC; on a cluster that is not ours, through `kubectl port-forward`."""
    target = f"127.0.0.1:{names.PORT_GRPC}"
    if local:
        yield target
        return
    arguments = [
        "port-forward",
        "-n",
        SYSTEM_NAMESPACE,
        "svc/atheria-gateway",
        f"{names.PORT_GRPC}",
        f"{names.PORT_HTTP}",
    ]
    process = subprocess.Popen(
        [*cluster.command("kubectl"), *arguments], stdout=subprocess.DEVNULL, env=cluster.full_environment()
    )
    try:
        wait_for(
            "kubectl port-forward",
            _listening,
            timeout_seconds=20,
            describe=lambda: "is port 8001 or 8000 taken?",
        )
        yield target
    finally:
        process.terminate()
        process.wait(timeout=10)


def _listening() -> bool | None:
    try:
        socket.create_connection(("127.0.0.1", names.PORT_GRPC), timeout=1).close()
    except OSError:
        return None
    return True


def _next_steps(options: DemoOptions) -> None:
    heading("Next")
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
        say(f"  {command}")
