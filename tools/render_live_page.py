"""Take docs/images/live-page.png: the live page in Chromium, with a real stack behind it. Run by hand.

`python -m tools.render_live_page [FOLDER]`; with a folder, pictures of both themes at 1280 and 390 pixels go there instead, to look at.
"""

from __future__ import annotations

import io
import sys
import time
from pathlib import Path
from typing import Any, Final

from PIL import Image

from bench.live_page.stack import Stack, chromium, chromium_program

REPOSITORY: Final = Path(__file__).parents[1]
PICTURE: Final = REPOSITORY / "docs" / "images" / "live-page.png"
MODEL: Final = REPOSITORY / "bench" / "live_page" / "model.yaml"
BYTES_MOST: Final = 150_000
FRAME: Final = 90
"""A wave packet has structure there."""
WAIT_SECONDS: Final = 120.0
COLOURS: Final = 128


def taken(browser: Any, url: str, *, theme: str, width: int) -> bytes:
    """PNG of the whole page at frame FRAME. Raises TimeoutError."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme)
    try:
        tab = context.new_page()
        tab.goto(f"{url}#side=128&seed=3")
        end = time.monotonic() + WAIT_SECONDS
        while int(tab.locator("#frame").inner_text()) < FRAME:
            if time.monotonic() > end:
                raise TimeoutError(f"frame {FRAME} did not come: {tab.locator('#status').inner_text()}")
            tab.wait_for_timeout(20)
        shot: bytes = tab.screenshot(full_page=True)
        return shot
    finally:
        context.close()


def small(png: bytes) -> bytes:
    """The same with few colours."""
    held = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").quantize(COLOURS).save(held, "PNG", optimize=True)
    return held.getvalue()


def main() -> int:
    """The command; 1 without a Chromium or for a picture that is too large."""
    program = chromium_program()
    if program is None:
        sys.stderr.write("no chromium on PATH: `atheria-local prerequisites --install` installs it\n")
        return 1
    with Stack(MODEL) as stack, chromium(program) as browser:
        if len(sys.argv) > 1:
            for theme in ("light", "dark"):
                for width in (1280, 390):
                    file = Path(sys.argv[1]) / f"{theme}-{width}.png"
                    file.write_bytes(taken(browser, stack.url, theme=theme, width=width))
            return 0
        picture = small(taken(browser, stack.url, theme="dark", width=1280))
    if len(picture) > BYTES_MOST:
        sys.stderr.write(
            f"the picture has {len(picture)} bytes, at most {BYTES_MOST} are wanted: lower COLOURS\n"
        )
        return 1
    PICTURE.write_bytes(picture)
    return 0


if __name__ == "__main__":
    sys.exit(main())
