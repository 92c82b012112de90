"""A tab with the live page, as a test reads and uses it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Self, TypeVar

T = TypeVar("T")
MODEL: Final = Path(__file__).with_name("model.yaml")
WAIT_SECONDS: Final = 90.0
_HASH: Final = """id => {
  const canvas = document.getElementById(id);
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let hash = 2166136261;
  for (const byte of data) hash = Math.imul(hash ^ byte, 16777619) >>> 0;
  return `${canvas.width}:${hash}`;
}"""
_WATCH: Final = """() => {
  window.seen = { frames: [], kinds: [] };
  const frame = document.getElementById("frame");
  const status = document.getElementById("status");
  const note = () => {
    seen.frames.push(Number(frame.textContent));
    seen.kinds.push(status.dataset.kind);
  };
  new MutationObserver(note).observe(frame, { childList: true });
  new MutationObserver(note).observe(status, { attributes: true });
}"""

_COUNT_SOCKETS: Final = """() => {
  const real = window.WebSocket;
  window.sockets = 0;
  window.WebSocket = class extends real {
    constructor(...all) {
      super(...all);
      window.sockets += 1;
    }
  };
}"""
_COME_BACK: Final = """() => {
  document.dispatchEvent(new Event("visibilitychange"));
  window.dispatchEvent(new Event("online"));
}"""


def eventually(what: str, look: Callable[[], T], page: Page | None = None) -> T:
    """The first truthy value of `look`; fails with `what` after WAIT_SECONDS. `page` goes on meanwhile."""
    end = time.monotonic() + WAIT_SECONDS
    while not (value := look()):
        state = f": the page says {page.status!r} at frame {page.frame}" if page else ""
        assert time.monotonic() < end, f"waited {WAIT_SECONDS:g} s for {what}{state}"
        if page:
            page.tab.wait_for_timeout(20)
        else:
            time.sleep(0.02)
    return value


class Page:
    """A tab with the live page, and what it complained about."""

    def __init__(self, tab: Any, url: str) -> None:
        self.tab = tab
        self.url = url
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.received_bytes = 0
        tab.on("pageerror", lambda error: self.complaints.append(str(error)))
        tab.on("console", self._console)
        tab.on("request", lambda request: self.requests.append(request.url))

    def open(self, **wishes: object) -> Self:
        """Load it; `wishes` go into the address as the page itself writes them."""
        self.tab.goto(f"{self.url}#{'&'.join(f'{name}={value}' for name, value in wishes.items())}")
        return self

    @property
    def frame(self) -> int:
        """Number of the frame that is drawn."""
        return int(self.text("#frame"))

    @property
    def status(self) -> str:
        """The sentence at the top."""
        return self.text("#status")

    @property
    def kind(self) -> str:
        """Of the status."""
        return str(self.tab.locator("#status").get_attribute("data-kind"))

    def text(self, selector: str) -> str:
        """What a person reads there."""
        return str(self.tab.locator(selector).inner_text())

    def label(self, selector: str) -> str:
        """What a screen reader says there."""
        return str(self.tab.locator(selector).get_attribute("aria-label"))

    def hash(self, canvas: str) -> str:
        """Of a canvas' pixels, with its width."""
        return str(self.tab.evaluate(_HASH, canvas))

    def pictures(self) -> tuple[str, str]:
        """Hashes of density and phase."""
        return self.hash("density"), self.hash("phase")

    def metric(self, name: str) -> float:
        """The number beside a plot. The page writes it at most some times a second: let it stand still first."""
        return float(self.text(f"[data-metric={name}] output"))

    def wait_frame(self, number: int) -> None:
        """Until this frame or a later one is drawn."""
        eventually(f"frame {number}", lambda: self.frame >= number, self)

    def step_to(self, number: int) -> None:
        """Of a paused page: frame by frame."""
        clicks = "count => { while (count-- > 0) document.getElementById('next').click(); }"
        self.tab.evaluate(clicks, number - self.frame)
        self.wait_frame(number)
        assert self.frame == number

    def watch(self) -> None:
        """Note each frame's number and each kind of status from now on; see `seen`."""
        self.tab.evaluate(_WATCH)

    def seen(self) -> tuple[list[int], set[str]]:
        """The frames' numbers in order, each once, and the kinds of status since `watch`."""
        noted = self.tab.evaluate("() => window.seen")
        numbers = [n for at, n in enumerate(noted["frames"]) if at == 0 or n != noted["frames"][at - 1]]
        return numbers, set(noted["kinds"])

    def count_sockets(self) -> None:
        """Before `open`: count each WebSocket at once; see `sockets`."""
        self.tab.add_init_script(f"({_COUNT_SOCKETS})()")

    def sockets(self) -> int:
        """WebSockets that the page has made since it was loaded."""
        return int(self.tab.evaluate("() => window.sockets"))

    def come_back(self) -> None:
        """What the page hears when a person comes back to its tab, and when the network does."""
        self.tab.evaluate(_COME_BACK)

    def _console(self, message: Any) -> None:
        # The last one is about the tests' own reading of the canvas.
        if message.type in ("error", "warning") and "willReadFrequently" not in message.text:
            self.complaints.append(message.text)
