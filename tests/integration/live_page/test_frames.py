"""Frames on the canvas, what the controls do with them, and how they go on after a lost server."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

from live_page_harness import eventually

SMALL = {"side": 64, "seed": 3}
WALK = {"side": 64, "seed": 5, "noise": "0.1"}


def test_frames_are_drawn_and_change(page: Any) -> None:
    page.open(**SMALL)
    page.wait_frame(3)
    before = page.pictures()
    page.wait_frame(page.frame + 5)
    after = page.pictures()
    assert before[0] != after[0]
    assert before[1] != after[1]
    assert after[0].startswith("64:")
    assert page.text("#law") == "kerr, κ = 0.5"
    eventually("a rate above 0", lambda: int(page.text("#fps")) > 0, page)


def test_pause_stops_the_frames_and_each_step_draws_exactly_one(page: Any) -> None:
    page.open(**SMALL)
    page.wait_frame(3)
    page.tab.get_by_role("button", name="Pause").click()
    frame, pictures = page.frame, page.pictures()
    page.tab.wait_for_timeout(300)
    assert (page.frame, page.pictures()) == (frame, pictures)
    for number in (1, 2):
        page.tab.get_by_role("button", name="Next frame").click()
        page.wait_frame(frame + number)
    page.tab.wait_for_timeout(300)
    assert page.frame == frame + 2
    assert page.pictures() != pictures
    page.tab.get_by_role("button", name="Run", exact=True).click()
    page.wait_frame(frame + 6)


def test_the_seed_decides_the_picture_and_is_kept_in_the_address(still_page: Any) -> None:
    still_page.open(**SMALL)

    def first_picture(seed: int) -> Any:
        before = still_page.pictures()
        field = still_page.tab.get_by_label("Seed")
        field.fill(str(seed))
        field.press("Tab")
        eventually("the address", lambda: f"seed={seed}" in still_page.tab.url, still_page)
        eventually("a first frame", lambda: still_page.frame == 1, still_page)
        eventually("another picture", lambda: still_page.pictures() != before, still_page)
        return still_page.pictures()

    still_page.wait_frame(1)
    first, second, again = first_picture(11), first_picture(12), first_picture(11)
    assert first != second
    assert first == again


def test_noise_destroys_the_coherence_that_is_measured(new_page: Callable[..., Any]) -> None:
    found = {}
    for noise in ("0", "0.8"):
        page = new_page(reduced_motion="reduce").open(**SMALL, noise=noise)
        page.wait_frame(1)
        page.step_to(4)
        eventually(
            "the numbers of frame 4",
            lambda page=page: "frames 1 to 4" in page.label("[data-metric=norm] canvas"),
            page,
        )
        found[noise] = {name: page.metric(name) for name in ("entropy", "c4", "coherence", "norm")}
    assert found["0.8"]["coherence"] < 0.7 * found["0"]["coherence"]
    assert abs(found["0.8"]["norm"] - 1) < 1e-3
    assert all(0 < numbers["entropy"] < 1 for numbers in found.values())


def test_the_law_model_and_start_are_choices_and_a_choice_starts_anew(page: Any) -> None:
    page.open(**SMALL)
    page.wait_frame(20)
    assert page.tab.get_by_label("Model", exact=True).input_value() == "demo/qca"
    page.tab.get_by_label("Start").select_option("noise")
    eventually("a start at frame 0", lambda: page.frame < 20, page)
    page.wait_frame(5)
    assert "initial=noise" in page.tab.url


def test_wrong_wishes_in_the_address_are_left_aside(still_page: Any) -> None:
    still_page.open(side="9000", seed="-4", noise="NaN", initial="%3Cscript%3E", model="no/such")
    still_page.wait_frame(1)
    assert still_page.hash("density").startswith("128:")
    assert still_page.tab.get_by_label("Seed").input_value() == "1"


def test_after_a_killed_server_the_page_goes_on_at_the_next_frame_with_the_same_pictures(
    new_page: Callable[..., Any], stack: Any
) -> None:
    page = new_page().open(**WALK)
    page.watch()
    page.wait_frame(75)  # in the second leg, which begins from a state
    stack.kill_server()
    killed_at = page.frame
    eventually("a loss that is told", lambda: page.seen()[1] & {"waiting", "waking"}, page)
    page.wait_frame(killed_at + 60)
    page.tab.keyboard.press(" ")
    numbers, kinds = page.seen()
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert "streaming" in kinds
    whole = new_page(reduced_motion="reduce").open(**WALK)
    whole.wait_frame(1)
    whole.step_to(page.frame)
    assert whole.pictures() == page.pictures()


def test_a_page_that_stands_still_gives_its_replica_back_and_goes_on_where_it_was(
    new_page: Callable[..., Any], stack: Any
) -> None:
    page = new_page()
    page.tab.clock.install()
    page.count_sockets()
    page.open(**WALK)
    page.wait_frame(5)
    page.tab.keyboard.press(" ")
    frame = page.frame
    assert page.status == "Paused: demo/qca."
    page.tab.clock.fast_forward(11_000)
    eventually("a closed connection", lambda: page.kind == "resting", page)
    eventually("no call in flight", lambda: _in_flight(stack.url) == 0)
    assert page.frame == frame
    page.come_back()
    assert (page.sockets(), page.kind) == (1, "resting")
    page.tab.keyboard.press(" ")
    page.wait_frame(frame + 100)
    assert page.sockets() == 2


def _in_flight(url: str) -> int | None:
    """None while it is not known: the gateway asks its Envoy each second, and says nothing of counts that are older than three."""
    try:
        with urllib.request.urlopen(f"{url}fleet.json", timeout=30) as answer:
            (model,) = json.load(answer)["models"]
    except urllib.error.HTTPError:
        return None
    found: int | None = model["inFlight"]
    return found
