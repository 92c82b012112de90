"""`python -m atheria_server.models.text.sceneline.show FILE`: scenes that the network has not seen, its words, its boxes, as PNG.

Made the picture of the documentation. Reads each picture and its words anew for every word, without cache or server.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from atheria_server.models.text.sceneline.grounding import as_json, ground
from atheria_server.models.text.sceneline.network import SceneLine
from atheria_server.models.text.sceneline.picture import draw_boxes, png
from atheria_server.models.text.sceneline.scenes import make_scenes
from atheria_server.models.text.sceneline.vocabulary import BEGIN, CAPTION_TOKENS_MAX, END, decode
from atheria_server.models.text.sceneline.weights import load_network

HEIGHT: Final = 64
WIDTH: Final = 96
COLUMNS: Final = 3
_GAP: Final = 8
_PAPER: Final = 255


def main(arguments: Sequence[str]) -> int:
    """0: the picture is written, and the words with their boxes are printed. 1: it cannot be written."""
    given = _parser().parse_args(arguments)
    network = load_network()
    scenes = make_scenes(given.seed, COLUMNS * given.rows, HEIGHT, WIDTH)
    texts = [described(network, picture) for picture in scenes.pictures]
    found = ground(network, scenes.pictures, texts)
    for text, true, boxes in zip(texts, scenes.captions, found, strict=True):
        said = decode(text)
        sys.stdout.write(f"{said}{'' if said == true else f' (true: {true})'}\n  {as_json(boxes, text)}\n")
    drawn = [draw_boxes(picture, boxes) for picture, boxes in zip(scenes.pictures, found, strict=True)]
    try:
        given.file.write_bytes(png(_tiled(drawn)))
    except OSError as error:
        sys.stderr.write(f"{given.file} cannot be written: {error.strerror}\n")
        return 1
    return 0


def described(network: SceneLine, picture: npt.NDArray[np.uint8]) -> list[int]:
    """The likeliest words of [height, width, 3], `<bos>` and, if it comes to that, `<eos>` included."""
    text = [BEGIN]
    with torch.inference_mode():
        while text[-1] != END and len(text) < CAPTION_TOKENS_MAX:
            _, words = network.read(torch.from_numpy(picture[None]), torch.tensor([text]))
            text.append(int(network.logits(words[0, -1]).argmax()))
    return text


def _tiled(drawn: Sequence[npt.NDArray[np.uint8]]) -> npt.NDArray[np.uint8]:
    framed = [np.pad(one, ((0, _GAP), (0, _GAP), (0, 0)), constant_values=_PAPER) for one in drawn]
    rows = [np.concatenate(framed[at : at + COLUMNS], 1) for at in range(0, len(framed), COLUMNS)]
    return np.concatenate(rows)[:-_GAP, :-_GAP]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sceneline show", description="Draw what the network finds in scenes.", allow_abbrev=False
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="PNG to write")
    parser.add_argument("--seed", type=int, default=4_000_001, help="of the scenes (default %(default)s)")
    parser.add_argument("--rows", type=int, default=2, help=f"of {COLUMNS} scenes (default %(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
