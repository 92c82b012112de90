"""Draw the dashboards over the data of a run with Grafana's own panel components: docs/images/dashboards/*.png.

`python -m bench.dashboards --model qca --model network --waves --keep RUN` makes the data. Needs Prometheus (as `make setup` fetches it), Node,
Chromium and Pillow; run by hand when the dashboards have changed, as pictures are not compared by CI. A Grafana server is not needed, and not
shown: what is drawn are `@grafana/ui`'s panels in the dashboards' own layout; only the heatmap is drawn by tools/dashboard_pictures.
"""

from __future__ import annotations

import argparse
import functools
import http.server
import io
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from PIL import Image

from atheria_local import promtool

ROOT: Final = Path(__file__).resolve().parent.parent
BOARDS: Final = ROOT / "charts" / "atheria" / "dashboards"
SOURCES: Final = ROOT / "tools" / "dashboard_pictures"
TARGET: Final = ROOT / "docs" / "images" / "dashboards"
PROMETHEUS_PORT: Final = 19099
WIDTH: Final = 1400
STEP_SECONDS: Final = 1
WINDOW: Final = "10s"
"""In the place of Grafana's $__rate_interval; the run scrapes once a second."""
WITHOUT_DATA: Final = "atheria-gpu"
"""A run has no GPU: its picture would show empty panels."""
_ROW_PIXELS: Final = 38
_COLOURS: Final = 96
_WAIT_SECONDS: Final = 120


def main() -> int:
    """Draw all, or those named."""
    options = _parser().parse_args()
    with tempfile.TemporaryDirectory() as making:
        built = _build(options.work or Path(making))
        shutil.copytree(BOARDS, built / "boards", dirs_exist_ok=True)
        data = Path(making) / "data"
        # Prometheus writes into it.
        shutil.copytree(options.run / "prometheus", data)
        TARGET.mkdir(parents=True, exist_ok=True)
        with _prometheus(Path(making), data), _pages(built) as address:
            begin, end = _times(options.seconds)
            for file in sorted(BOARDS.glob("*.json")):
                if file.stem in options.board if options.board else file.stem != WITHOUT_DATA:
                    picture = _picture(address, file, options.model, begin, end)
                    print(f"{picture}: {picture.stat().st_size / 1000:.0f} kB")  # noqa: T201
    return 0


def _build(work: Path) -> Path:
    work.mkdir(parents=True, exist_ok=True)
    for file in SOURCES.iterdir():
        shutil.copy(file, work / file.name)
    if not (work / "node_modules").exists():
        _run(["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock"], work)
    _run(["npx", "vite", "build"], work)
    return work / "built"


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=900, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stdout[-2000:]}{done.stderr[-2000:]}")


@contextmanager
def _prometheus(folder: Path, data: Path) -> Iterator[None]:
    program = promtool.find(promtool.SERVER)
    if not program:
        raise OSError(f"{promtool.SERVER} was found neither in PATH nor in the cache: run `make setup`")
    file = folder / "prometheus.yaml"
    file.write_text("{}\n", encoding="utf-8")
    process = subprocess.Popen(
        [
            *(program, f"--config.file={file}", f"--storage.tsdb.path={data}"),
            *(f"--web.listen-address=127.0.0.1:{PROMETHEUS_PORT}", "--log.level=warn"),
            "--storage.tsdb.retention.time=100y",
        ]
    )
    try:
        deadline = time.monotonic() + _WAIT_SECONDS
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{PROMETHEUS_PORT}/-/ready", timeout=5).close()
                break
            except OSError as error:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"Prometheus was not ready within {_WAIT_SECONDS} s") from error
                time.sleep(0.3)
        yield
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def _pages(folder: Path) -> Iterator[str]:
    handler = functools.partial(_Quiet, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Not for people."""


def _times(seconds: float) -> tuple[int, int]:
    """The last seconds of the data, by the operator's own series."""
    now = int(time.time())
    for back in range(0, 7 * 86400, 240):
        query = urllib.parse.urlencode(
            {"query": "max(timestamp(atheria_operator_leader))", "time": now - back}
        )
        address = f"http://127.0.0.1:{PROMETHEUS_PORT}/api/v1/query?{query}"
        with urllib.request.urlopen(address, timeout=30) as answer:
            found = json.load(answer)["data"]["result"]
        if found:
            end = int(float(found[0]["value"][1]))
            return end - int(seconds), end
    raise RuntimeError("the data of the last seven days have no operator")


def _picture(address: str, board: Path, model: str, begin: int, end: int) -> Path:
    panels = json.loads(board.read_text(encoding="utf-8"))["panels"]
    rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
    asked = urllib.parse.urlencode(
        {
            "board": board.stem,
            "prometheus": f"http://127.0.0.1:{PROMETHEUS_PORT}",
            "from": begin,
            "to": end,
            "step": STEP_SECONDS,
            "window": WINDOW,
            "model": model,
        }
    )
    with tempfile.TemporaryDirectory() as making:
        raw = Path(making) / "raw.png"
        _run(
            [
                *("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
                *(f"--window-size={WIDTH},{rows * _ROW_PIXELS + 60}", "--virtual-time-budget=120000"),
                "--run-all-compositor-stages-before-draw",
                *(
                    f"--user-data-dir={making}/profile",
                    f"--screenshot={raw}",
                    f"{address}/index.html?{asked}",
                ),
            ],
            Path(making),
        )
        content = io.BytesIO(raw.read_bytes())
    target = TARGET / f"{board.stem.removeprefix('atheria-')}.png"
    Image.open(content).convert("RGB").quantize(_COLOURS).save(target, optimize=True)
    return target


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="folder that `python -m bench.dashboards --keep` has filled")
    parser.add_argument("--seconds", type=float, default=265, help="of the end of the run (default 265)")
    parser.add_argument("--model", default="qca", help="of the dashboard Model (default qca)")
    parser.add_argument("--board", action="append", help="name of a file without its ending; repeatable")
    parser.add_argument("--work", type=Path, help="folder to build in, kept with its node_modules")
    return parser


if __name__ == "__main__":
    sys.exit(main())
