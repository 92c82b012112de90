"""`atheria-local`: build, start, look at and remove the local cluster. Called by the Makefile and the end-to-end tests."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from atheria_local import cluster, go_toolchain, gpus, images, prerequisites, programs, promtool
from atheria_local.errors import LocalError


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="atheria-local", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    made: dict[str, argparse.ArgumentParser] = {}
    for name, text in (
        ("down", "stop the cluster and leave nothing"),
        ("status", "show what runs; exit status 0 when all is up"),
        ("images", "build our images and load them into the cluster"),
        ("programs", "build etcd, Kubernetes, CoreDNS and Helm into the cache"),
        ("build", "build programs and images side by side, without starting anything"),
        (
            "can-run",
            "say in a line why the cluster cannot run here, with exit status 1; nothing where it can",
        ),
    ):
        made[name] = commands.add_parser(name, help=text)
    for name in ("build", "programs"):
        made[name].add_argument(
            "--also",
            nargs="+",
            default=[],
            choices=tuple(programs.OPTIONAL),
            help="build the programs of others too that tests/integration/interop runs beside ours (minutes; kept in the cache)",
        )
    up = commands.add_parser("up", help="start the cluster; does nothing when it is up")
    up.add_argument(
        "--gpus",
        action="append",
        default=[],
        metavar="PROFILE=N",
        help=f"pretend N devices of a profile for scheduling: {', '.join(gpus.PRODUCTS)}",
    )
    check = commands.add_parser("prerequisites", help="check this machine")
    check.add_argument("--install", action="store_true", help="install missing Debian packages first")
    return parser


def _build_all(also: Sequence[str]) -> None:
    """Programs are bound by the processor, images by the network: side by side they take less than in turn."""
    wanted = programs.chosen(also)
    if reason := prerequisites.why_not_here():
        print(f"note: only the programs are built, no images: {reason}")
        programs.ensure(*wanted)
        programs.install_for_people()
        return
    needs_build = not all(build.is_done() for build in wanted)
    prerequisites.check_machine(first_build=needs_build)
    with ThreadPoolExecutor(max_workers=2) as pool:
        for outcome in [pool.submit(programs.ensure, *wanted), pool.submit(images.build)]:
            outcome.result()
    programs.install_for_people()


def _run(arguments: argparse.Namespace) -> int:
    match arguments.command:
        case "up":
            cluster.up([gpus.parse(text) for text in arguments.gpus])
        case "down":
            cluster.down()
        case "status":
            return 0 if cluster.status() else 1
        case "images":
            prerequisites.check_machine(first_build=False)
            images.build()
            images.load()
        case "programs":
            programs.ensure(*programs.chosen(arguments.also))
            programs.install_for_people()
        case "build":
            _build_all(arguments.also)
        case "can-run":
            if reason := _why_no_cluster():
                print(f"no local cluster here: {reason}")
                return 1
        case "prerequisites":
            _prerequisites(install=arguments.install)
    return 0


def _why_no_cluster() -> str:
    """Empty where it can run: on this machine, and with its programs built or a Go to build them."""
    reason = prerequisites.why_not_here()
    if reason or all(build.is_done() for build in programs.ALL):
        return reason
    try:
        go_toolchain.ensure_go()
    except LocalError as error:
        return str(error)
    return ""


def _prerequisites(*, install: bool) -> None:
    # Elsewhere the tests without a node and the demo on one's own cluster still work: said when the cluster is asked for.
    reason = prerequisites.why_not_here()
    if reason:
        print(f"note: {reason}")
    elif install:
        prerequisites.install_packages()
        try:
            promtool.ensure()
        except LocalError as error:
            print(f"note: without promtool the metrics' names are not checked: {error}")
        try:
            prerequisites.install_browser()
        except LocalError as error:
            print(f"note: without Chromium the live page is not tested: {error}")
    else:
        prerequisites.check_machine(first_build=False)


def main() -> int:
    """Console script; one line on stderr for each foreseen error."""
    arguments = _parser().parse_args()
    try:
        return _run(arguments)
    except LocalError as error:
        print(f"atheria-local: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("atheria-local: interrupted; the next run cleans up", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
