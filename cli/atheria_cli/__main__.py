"""Entry point of `atheria`: parses arguments and hands over; no logic lives here.

What needs numpy or a gRPC client is imported by the commands that call models, so that the others start at once.
"""

from __future__ import annotations

import json
import secrets
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from atheria_cli.calls.gateway import Destination
from atheria_cli.cluster import Cluster
from atheria_cli.completion import contexts, model_names
from atheria_cli.console import make_console
from atheria_cli.doctor.command import run_doctor
from atheria_cli.errors import CommandError, ExitCode
from atheria_cli.explain.command import command_explain
from atheria_cli.model.commands import get_model, list_models, watch_models
from atheria_cli.model.logs import (
    TAIL_DEFAULT,
    Component,
    component_namespace,
    component_selector,
    pod_selector,
    print_logs,
)
from atheria_cli.options import (
    Address,
    ApiKeyFile,
    CaFile,
    CertificateFile,
    Context,
    Everywhere,
    Files,
    Inputs,
    KeyFile,
    ModelName,
    Namespace,
    Output,
    OutputOption,
    Parameters,
    Timeout,
    Version,
    Wanted,
)
from atheria_cli.planning.command import apply as apply_files
from atheria_cli.planning.command import plan as plan_files
from atheria_cli.planning.command import print_applied, print_plan
from atheria_cli.planning.manifests import read_manifests
from atheria_cli.replay import ReplayOptions, run_replay
from atheria_cli.reporting import ReportingCommand
from atheria_cli.rollout import Verb, command_rollout, rollout_status

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich" if sys.stdout.isatty() else None,
)
command = partial(app.command, cls=ReportingCommand)


@app.callback()
def root(*, _: Version = False) -> None:
    """Atheria: PyTorch models on Kubernetes, batched, warm, at zero cost when nobody calls."""


@command()
def demo(
    local: Annotated[
        bool, typer.Option("--local", help="On the local cluster of `atheria-local up`.")
    ] = False,
    cluster: Annotated[
        bool, typer.Option("--cluster", help="On the cluster of the kubectl context.")
    ] = False,
    context: Annotated[
        str, typer.Option(help="On the cluster of this kubectl context.", autocompletion=contexts)
    ] = "",
    values: Annotated[
        list[Path] | None,
        typer.Option(help="With a cluster: more Helm values files, e.g. your image registry."),
    ] = None,
    stay: Annotated[
        bool | None,
        typer.Option(
            "--stay/--no-stay", help="Without a cluster: go on running until Ctrl-C; default: on a terminal."
        ),
    ] = None,
    picture: Annotated[Path, typer.Option(help="Where the frames are drawn as a PNG.")] = Path(
        ".local/demo-frames.png"
    ),
    repository: Annotated[
        Path, typer.Option(help="With a cluster: checkout with charts/ and examples/.")
    ] = Path(),
    output: OutputOption = Output.TABLE,
) -> None:
    """Serve the built-in model, scale it up, to zero and back: as processes of this machine, or on a cluster."""
    if (local or cluster or context) and stay is not None:
        raise CommandError("--stay belongs to the demo without a cluster", ExitCode.USAGE)
    if not (local or cluster or context):
        if values:
            raise CommandError(
                "--values belongs to a cluster: add --cluster, --context or --local", ExitCode.USAGE
            )
        from atheria_cli.demo.without_cluster import run_without_cluster

        console = make_console()
        is_watched = console.is_terminal and output is Output.TABLE
        run_without_cluster(picture, output, console, stay=is_watched if stay is None else stay)
        return
    from atheria_cli.demo.show import DemoOptions, run_demo

    run_demo(
        DemoOptions(
            repository=repository.resolve(),
            local=local,
            context=context,
            values=tuple(values or ()),
            picture=picture,
        ),
        output,
    )


@command(name="list")
def list_(
    namespace: Namespace = "",
    everywhere: Everywhere = False,
    output: OutputOption = Output.TABLE,
    context: Context = "",
) -> None:
    """List models: ready or why not, pods, calls that wait, cost."""
    list_models(_cluster(context), namespace, output, make_console(), everywhere=everywhere)


@command()
def get(
    model: ModelName, namespace: Namespace = "", output: OutputOption = Output.TABLE, context: Context = ""
) -> None:
    """Show one model: conditions with reasons and next steps, hardware, precision, quality, cost, revisions."""
    get_model(_cluster(context), model, namespace, output, make_console())


@command()
def watch(
    models: Annotated[
        list[str] | None,
        typer.Argument(help="Names; default: all.", show_default=False, autocompletion=model_names),
    ] = None,
    namespace: Namespace = "",
    everywhere: Everywhere = False,
    until_ready: Annotated[bool, typer.Option("--until-ready", help="End when all are Ready.")] = False,
    timeout: Annotated[float, typer.Option(min=0, help="Seconds; 0: without end.")] = 0.0,
    output: OutputOption = Output.TABLE,
    context: Context = "",
) -> None:
    """Follow models live: a table on a terminal, a line for each change elsewhere."""
    watch_models(
        _cluster(context),
        tuple(models or ()),
        namespace,
        output,
        make_console(),
        everywhere=everywhere,
        until_ready=until_ready,
        timeout_seconds=timeout,
    )


@command()
def logs(
    model: ModelName = "",
    component: Annotated[
        Component | None, typer.Option(help="Atheria's own pods, in place of a model's.")
    ] = None,
    namespace: Namespace = "",
    tail: Annotated[int, typer.Option(min=0, help="Last lines of each container.")] = TAIL_DEFAULT,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    previous: Annotated[
        bool, typer.Option("--previous", "-p", help="Of the containers before a restart.")
    ] = False,
    output: OutputOption = Output.TABLE,
    context: Context = "",
) -> None:
    """Print the log lines of a model's pods, or of the operator's or the gateway's."""
    if bool(model) == bool(component):
        raise CommandError("give the name of a model, or --component operator or gateway", ExitCode.USAGE)
    cluster = _cluster(context)
    if component:
        selector = component_selector(component)
        namespace = namespace or component_namespace(cluster, component)
    else:
        selector = pod_selector(cluster, model, namespace)
    print_logs(
        cluster, selector, namespace, output, make_console(), tail=tail, follow=follow, previous=previous
    )


@command()
def plan(
    files: Files,
    namespace: Namespace = "",
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="End with 6 where applying would change something.")
    ] = False,
    output: OutputOption = Output.TABLE,
    context: Context = "",
) -> None:
    """Show what applying files would change, whether it fits, what restarts and what it costs; changes nothing."""
    planned = plan_files(_cluster(context), read_manifests(files, sys.stdin), namespace)
    print_plan(planned, output, make_console())
    if exit_code and any(one.is_new or one.changes for one in planned):
        raise typer.Exit(ExitCode.CHANGES)


@command()
def apply(
    files: Files,
    namespace: Namespace = "",
    wait: Annotated[
        float, typer.Option(min=0, help="Seconds to wait until the models are Ready; 0: do not.")
    ] = 0.0,
    output: OutputOption = Output.TABLE,
    context: Context = "",
) -> None:
    """Apply files, after showing what they change."""
    cluster, console = _cluster(context), make_console()
    manifests = read_manifests(files, sys.stdin)
    planned = plan_files(cluster, manifests, namespace)
    if output is Output.TABLE:
        print_plan(planned, output, console)
    said = apply_files(cluster, manifests, namespace)
    print_applied(planned, said, output, console)
    models = [one for one in planned if one.is_model]
    for there in sorted({one.namespace for one in models}) if wait else ():
        watch_models(
            cluster,
            [one.name for one in models if one.namespace == there],
            there,
            output,
            console,
            everywhere=False,
            until_ready=True,
            timeout_seconds=wait,
        )


@command()
def rollout(
    verb: Annotated[Verb, typer.Argument(help="What to do with the model's rollout.")],
    model: ModelName,
    namespace: Namespace = "",
    wait: Annotated[bool, typer.Option("--wait", help="status: until the change is over.")] = False,
    timeout: Annotated[float, typer.Option(min=0, help="Seconds that --wait waits.")] = 600.0,
    output: OutputOption = Output.TABLE,
    context: Context = "",
) -> None:
    """Show, pause, resume, promote or roll back the rollout of a model's newest change."""
    cluster, console = _cluster(context), make_console()
    if verb is Verb.STATUS:
        rollout_status(cluster, model, namespace, output, console, wait=wait, timeout_seconds=timeout)
    else:
        said = command_rollout(cluster, verb, model, namespace, secrets.token_hex(4))
        typer.echo(json.dumps({"model": model, "said": said}) if output is Output.JSON else said)


@command()
def explain(
    model: ModelName, namespace: Namespace = "", output: OutputOption = Output.TABLE, context: Context = ""
) -> None:
    """Say why a model has as many pods as it has, why it is not ready, and why its weights are kept as they are."""
    command_explain(_cluster(context), model, namespace, output, make_console())


@command()
def doctor(output: OutputOption = Output.TABLE, context: Context = "") -> None:
    """Check a cluster: Kubernetes, Atheria's parts, GPU pools, prices, models; each finding with its remedy."""
    run_doctor(_cluster(context), output, make_console())


@command()
def infer(
    model: ModelName,
    inputs: Inputs = None,
    parameters: Parameters = None,
    want: Wanted = None,
    save: Annotated[
        Path | None, typer.Option(help="Write the outputs: .npz, .json; one of them: .npy, .png.")
    ] = None,
    timeout: Timeout = 120.0,
    address: Address = "",
    api_key_file: ApiKeyFile = None,
    ca: CaFile = None,
    cert: CertificateFile = None,
    key: KeyFile = None,
    namespace: Namespace = "",
    output: OutputOption = Output.TABLE,
    context: Context = "",
) -> None:
    """Call a model once over gRPC; at zero the call wakes it and is held."""
    from atheria_cli.calls.commands import run_infer
    from atheria_cli.calls.request import CallOptions

    run_infer(
        _cluster(context),
        _destination(model, namespace, address, api_key_file, ca, cert, key),
        CallOptions(
            inputs=inputs or (), parameters=parameters or (), wanted=want or (), timeout_seconds=timeout
        ),
        output,
        save,
        make_console(),
    )


@command()
def stream(
    model: ModelName,
    inputs: Inputs = None,
    parameters: Parameters = None,
    want: Wanted = None,
    save: Annotated[
        Path | None, typer.Option(help="Write the frames: .mp4 (needs atheria[movie]), .gif, .webp, .png.")
    ] = None,
    fps: Annotated[
        float, typer.Option(min=0.1, max=50, help="Frames of the saved film that are shown in a second.")
    ] = 12.5,
    timeout: Timeout = 120.0,
    address: Address = "",
    api_key_file: ApiKeyFile = None,
    ca: CaFile = None,
    cert: CertificateFile = None,
    key: KeyFile = None,
    namespace: Namespace = "",
    output: OutputOption = Output.TABLE,
    context: Context = "",
) -> None:
    """Call a model and show its answers as they are computed: frames drawn, texts written."""
    from atheria_cli.calls.commands import run_stream
    from atheria_cli.calls.request import CallOptions

    run_stream(
        _cluster(context),
        _destination(model, namespace, address, api_key_file, ca, cert, key),
        CallOptions(
            inputs=inputs or (), parameters=parameters or (), wanted=want or (), timeout_seconds=timeout
        ),
        output,
        save,
        fps,
        make_console(),
    )


@command()
def bench(
    model: ModelName,
    inputs: Inputs = None,
    parameters: Parameters = None,
    callers: Annotated[
        list[int] | None,
        typer.Option(min=1, max=4096, help="Closed loop of so many callers; several times for several."),
    ] = None,
    rate: Annotated[
        list[float] | None,
        typer.Option(min=0.001, help="Open loop of so many calls a second; several times for several."),
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.1, max=86400, help="Of each loop.")] = 10.0,
    warm_up: Annotated[
        float, typer.Option(min=0, help="Seconds of calls that are not counted, before each.")
    ] = 1.0,
    seed: Annotated[int, typer.Option(help="Of the arrivals of open loops.")] = 0,
    plot: Annotated[Path | None, typer.Option(help="Draw seconds over percentile: .svg, .png.")] = None,
    timeout: Timeout = 60.0,
    address: Address = "",
    api_key_file: ApiKeyFile = None,
    ca: CaFile = None,
    cert: CertificateFile = None,
    key: KeyFile = None,
    namespace: Namespace = "",
    output: OutputOption = Output.TABLE,
    context: Context = "",
) -> None:
    """Measure how many calls a model answers and how fast, with percentiles; costs what the calls cost."""
    from atheria_cli.calls.bench import run_bench
    from atheria_cli.calls.load import Load
    from atheria_cli.calls.request import CallOptions

    of = partial(Load, seconds=seconds, warm_up_seconds=warm_up, seed=seed)
    loads = [of(concurrency=one) for one in callers or ([] if rate else [1])]
    loads += [of(rate=one) for one in rate or []]
    run_bench(
        _cluster(context),
        _destination(model, namespace, address, api_key_file, ca, cert, key),
        CallOptions(inputs=inputs or (), parameters=parameters or (), wanted=(), timeout_seconds=timeout),
        loads,
        output,
        plot,
        make_console(),
    )


@command()
def replay(
    calls: Annotated[
        Path,
        typer.Argument(
            help="Recorded calls, .csv or .jsonl: time (seconds or ISO 8601), and service_seconds, or input_tokens and output_tokens."
        ),
    ],
    model: Annotated[
        str,
        typer.Option(
            "--model",
            help="An AtheriaModel in the cluster, whose scaling is taken.",
            autocompletion=model_names,
        ),
    ] = "",
    manifest: Annotated[
        Path | None, typer.Option(help="YAML with an AtheriaModel, instead of --model.")
    ] = None,
    namespace: Namespace = "",
    context: Context = "",
    slots: Annotated[
        int, typer.Option(min=0, help="Calls that a pod works on at once; 0: the scaling's target.")
    ] = 0,
    start: Annotated[float, typer.Option(min=0, help="Seconds that a pod takes to be ready.")] = 30.0,
    slo: Annotated[float, typer.Option(min=0, help="A call that waits longer is late, seconds.")] = 2.0,
    usd_per_hour: Annotated[float, typer.Option(min=0, help="Price of a pod; 0: unknown.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Of the lengths of starts.")] = 0,
    output: OutputOption = Output.TABLE,
) -> None:
    """Replay recorded calls under a model's scaling: cost and lateness of its settings, and of others."""
    options = ReplayOptions(
        calls=calls,
        manifest=manifest,
        model=model,
        namespace=namespace,
        slots=slots,
        start_seconds=start,
        slo_seconds=slo,
        usd_per_hour=usd_per_hour,
        seed=seed,
    )
    run_replay(options, _cluster(context), output, make_console())


def _destination(
    model: str,
    namespace: str,
    address: str,
    api_key_file: Path | None,
    ca: Path | None,
    certificate: Path | None,
    key: Path | None,
) -> Destination:
    return Destination(
        model=model,
        namespace=namespace,
        address=address,
        api_key_file=api_key_file,
        ca_file=ca,
        certificate_file=certificate,
        key_file=key,
    )


def _cluster(context: str) -> Cluster:
    return Cluster(context=context)


def main() -> None:
    """Console script. A request to end unwinds as Ctrl-C does, so that what was started is ended too."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    app()


def _end(number: int, _: object) -> None:
    raise SystemExit(128 + number)


if __name__ == "__main__":
    main()
