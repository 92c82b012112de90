"""Entry point of `atheria`: parses arguments and hands over; no logic lives here."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from atheria_cli.demo.cluster import Cluster, ClusterError
from atheria_cli.demo.show import DemoOptions, run_demo
from atheria_cli.explain import command_explain
from atheria_cli.replay import ReplayCommandError, ReplayOptions, run_replay
from atheria_cli.rollout import Verb, command_rollout

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def root() -> None:
    """Atheria: PyTorch models on Kubernetes, batched, warm, at zero cost when nobody calls."""


@app.command()
def demo(
    local: Annotated[
        bool, typer.Option("--local", help="Use the local cluster of `atheria-local up`.")
    ] = False,
    context: Annotated[str, typer.Option(help="kubectl context of an existing cluster.")] = "",
    values: Annotated[
        list[Path] | None, typer.Option(help="More Helm values files, e.g. your image registry.")
    ] = None,
    picture: Annotated[Path, typer.Option(help="Where the frames are drawn as a PNG.")] = Path(
        ".local/demo-frames.png"
    ),
    repository: Annotated[Path, typer.Option(help="Checkout with charts/ and examples/.")] = Path(),
) -> None:
    """Install Atheria, serve the built-in model, scale it to zero and wake it, on a real cluster."""
    options = DemoOptions(
        repository=repository.resolve(),
        local=local,
        context=context,
        values=tuple(values or ()),
        picture=picture,
    )
    try:
        run_demo(options)
    except ClusterError as error:
        typer.echo(f"demo: {error}", err=True)
        raise typer.Exit(1) from error


@app.command()
def rollout(
    verb: Annotated[Verb, typer.Argument(help="What to do with the model's rollout.")],
    model: Annotated[str, typer.Argument(help="Name of the AtheriaModel.")],
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="Its namespace.")] = "default",
    context: Annotated[str, typer.Option(help="kubectl context; default: the current one.")] = "",
) -> None:
    """Pause, resume, promote or roll back the rollout of a model's newest change."""
    try:
        cluster = Cluster(programs=Path(), context=context)
        typer.echo(command_rollout(cluster, verb, model, namespace, secrets.token_hex(4)))
    except ClusterError as error:
        typer.echo(f"rollout: {error}", err=True)
        raise typer.Exit(1) from error


@app.command()
def explain(
    model: Annotated[str, typer.Argument(help="Name of the AtheriaModel.")],
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="Its namespace.")] = "default",
    context: Annotated[str, typer.Option(help="kubectl context; default: the current one.")] = "",
) -> None:
    """Say why a model has the pods it has: the autoscaler's last decisions with inputs, formula and bound."""
    try:
        Console().print(command_explain(Cluster(programs=Path(), context=context), model, namespace))
    except ClusterError as error:
        typer.echo(f"explain: {error}", err=True)
        raise typer.Exit(1) from error


@app.command()
def replay(
    calls: Annotated[
        Path,
        typer.Argument(
            help="Recorded calls, .csv or .jsonl: time (seconds or ISO 8601), and service_seconds, or input_tokens and output_tokens."
        ),
    ],
    model: Annotated[
        str, typer.Option("--model", help="An AtheriaModel in the cluster, whose scaling is taken.")
    ] = "",
    manifest: Annotated[
        Path | None, typer.Option(help="YAML with an AtheriaModel, instead of --model.")
    ] = None,
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="The model's namespace.")] = "default",
    context: Annotated[str, typer.Option(help="kubectl context; default: the current one.")] = "",
    slots: Annotated[
        int, typer.Option(min=0, help="Calls that a pod works on at once; 0: the scaling's target.")
    ] = 0,
    start: Annotated[float, typer.Option(min=0, help="Seconds that a pod takes to be ready.")] = 30.0,
    slo: Annotated[float, typer.Option(min=0, help="A call that waits longer is late, seconds.")] = 2.0,
    usd_per_hour: Annotated[float, typer.Option(min=0, help="Price of a pod; 0: unknown.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Of the lengths of starts.")] = 0,
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
    try:
        run_replay(options, Cluster(programs=Path(), context=context), Console())
    except (ClusterError, ReplayCommandError) as error:
        typer.echo(f"replay: {error}", err=True)
        raise typer.Exit(1) from error


def main() -> None:
    """Console script."""
    app()


if __name__ == "__main__":
    main()
