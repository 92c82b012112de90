"""The page around the field: the fleet's numbers, and what it is without a mouse, for a screen reader, in both themes.

The fleet's documents are the tests' own where they say so; everything else is real.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from live_page_harness import eventually

BUDGET_BYTES = 200_000
WIDE, NARROW = {"width": 1280, "height": 1000}, {"width": 390, "height": 844}
HOSTILE = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
QCA = {
    "namespace": "demo",
    "name": "qca",
    "source": "builtin://qca",
    "parameters": {"law": "kerr"},
    "phase": "Serving",
    "reason": "Ready",
    "message": "2 of 3 replicas answer",
    "asked": 3,
    "ready": 2,
    "pods": 3,
    "held": 4,
    "inFlight": 17,
    "queue": 5,
    "costPer1000Usd": 0.01234,
    "costBasis": "measured",
    "lastDecision": {
        "reason": "Panic",
        "message": "21 calls against a target of 4",
        "at": "2026-01-01T00:00:00Z",
    },
}
ASLEEP = {
    "namespace": "lab",
    "name": "writer",
    "source": "hf://some/model",
    "parameters": None,
    "phase": "ScaledToZero",
    "asked": 0,
    "ready": 0,
    "held": 0,
    "inFlight": None,
    "queue": None,
    "costPer1000Usd": 2,
    "costBasis": "modelled",
    "lastDecision": None,
}
GATEWAY = {"pod": "gateway-7", "gateways": 2, "held": 4, "inFlight": 17, "ready": True}


def answered(page: Any, *models: Any, **more: Any) -> None:
    """The page's next readings get these models."""
    document = {
        "time": "2026-01-01T00:00:00Z",
        "gateway": GATEWAY,
        "total": len(models),
        "models": models,
        **more,
    }
    page.tab.route("**/fleet.json", lambda route: route.fulfill(json=document))


def rows(page: Any) -> list[list[str]]:
    return [
        [" ".join(cell.inner_text().split()) for cell in row.get_by_role("cell").all()]
        for row in page.tab.locator("#models").get_by_role("row").all()
    ]


def test_the_table_shows_the_numbers_of_the_document(page: Any) -> None:
    answered(page, QCA, ASLEEP)
    page.open(side=64)
    page.wait_frame(2)
    assert rows(page) == [
        [
            *("demo/qca builtin://qca", "Serving Ready: 2 of 3 replicas answer", "2 / 3", "4", "17", "5"),
            *("$0.0123 measured", "21 calls against a target of 4 Panic"),
        ],
        [
            *("lab/writer hf://some/model", "ScaledToZero", "0 / 0", "0", "–", "–"),
            *("$2.00 modelled", "–"),
        ],
    ]
    assert page.text("#fleet-state") == "2 models."
    assert page.text("#gateway") == "Seen by gateway gateway-7, one of 2: 4 held, 17 in flight."


def test_the_table_follows_the_document(page: Any) -> None:
    answered(page, QCA)
    page.open(side=64)
    page.wait_frame(2)
    answered(page, {**QCA, "ready": 3}, total=700)
    eventually("the new numbers", lambda: rows(page)[0][2] == "3 / 3", page)
    assert page.text("#fleet-state") == "700 models, 1 of them shown."


def test_the_real_gateways_document_is_shown(page: Any) -> None:
    page.open(side=64)
    page.wait_frame(2)
    eventually("the model's row", lambda: rows(page) and rows(page)[0][2] == "1 / 1", page)
    assert rows(page)[0][0] == "demo/qca builtin://qca"
    eventually("a queue and a word on the cost", lambda: rows(page)[0][5:7] == ["1", "no price"], page)


def test_a_cost_that_cannot_be_told_says_why(page: Any) -> None:
    unknown = {"costPer1000Usd": None, "costBasis": None}
    words = {"qca": "no price", "waits": "no call in this period", "starts": None, "wrong": 7}
    answered(page, *({**QCA, **unknown, "name": name, "costUnknown": why} for name, why in words.items()))
    page.open(side=64)
    eventually("the table", lambda: len(rows(page)) == len(words), page)
    assert [row[6] for row in rows(page)] == ["no price", "no call in this period", "–", "–"]


def test_a_model_at_zero_is_woken_by_a_person_and_not_by_the_page(page: Any) -> None:
    page.count_sockets()
    page.tab.clock.install()
    answered(page, {**QCA, "asked": 0, "ready": 0})
    page.open(side=64)
    eventually("a hint", lambda: page.status.startswith("At zero: demo/qca. Run wakes"), page)
    page.come_back()
    page.tab.clock.fast_forward(11_000)
    assert page.sockets() == 0
    assert page.status.startswith("At zero: demo/qca. Run wakes")
    page.tab.get_by_role("button", name="Run", exact=True).click()
    page.wait_frame(3)
    assert page.sockets() == 1


def test_of_many_models_those_with_calls_are_in_the_table(page: Any) -> None:
    quiet = [{**ASLEEP, "name": f"m{number:03d}"} for number in range(150)]
    answered(
        page, *quiet, {**ASLEEP, "name": "w", "inFlight": 1}, {**ASLEEP, "name": "x", "held": 2}, total=700
    )
    page.open()
    eventually("the table", lambda: page.text("#fleet-state") == "700 models, 100 of them shown.", page)
    shown = page.tab.locator("#models td:first-child span").all_inner_texts()
    assert shown == [f"lab/{name}" for name in (*(f"m{number:03d}" for number in range(98)), "w", "x")]


def test_texts_of_others_are_shown_as_texts(page: Any) -> None:
    hostile = dict.fromkeys(("name", "source", "phase", "reason", "message", "costBasis"), HOSTILE)
    answered(
        page,
        QCA,
        {**QCA, **hostile, "ready": HOSTILE, "lastDecision": {"reason": HOSTILE, "message": HOSTILE}},
        {**QCA, "name": HOSTILE, "parameters": {"law": HOSTILE}},
    )
    page.open(side=64)
    page.wait_frame(2)
    assert page.tab.title() == "Atheria live"
    assert page.tab.locator("#fleet img, #fleet script, option *").count() == 0
    assert rows(page)[1][0] == f"demo/{HOSTILE} {HOSTILE}"
    assert page.tab.locator("#model option").all_inner_texts() == ["demo/qca", f"demo/{HOSTILE}"]


@pytest.mark.parametrize("document", [None, {"models": [None, 4, {"name": 5}]}])
def test_a_document_without_models_says_what_to_do_next(page: Any, document: Any) -> None:
    page.tab.route("**/fleet.json", lambda route: route.fulfill(body=json.dumps(document)))
    page.open()
    eventually("the next step", lambda: "kubectl apply" in page.status, page)
    assert page.text("#fleet-state").startswith("No models.")


def test_numbers_that_cannot_be_read_are_told_and_asked_for_again(new_page: Any) -> None:
    page = new_page()
    refusals = []

    def refuse(route: Any) -> None:
        refusals.append(route)
        route.fulfill(status=503, json={"error": "the activator is away."})

    page.tab.route("**/fleet.json", refuse)
    page.open(side=64)
    eventually("the cause", lambda: "cannot be read: the activator is away. Next try in" in page.status, page)
    eventually("another try", lambda: len(refusals) > 1, page)
    page.tab.unroute("**/fleet.json")
    page.wait_frame(2)
    assert page.text("#fleet-state") == "1 model."
    # The browser itself reports answers that are no success.
    page.complaints = [one for one in page.complaints if "503" not in one]


@pytest.mark.parametrize(("theme", "viewport"), [("light", WIDE), ("dark", NARROW)])
def test_axe_finds_nothing_and_nothing_is_cut_off(
    new_page: Callable[..., Any], theme: str, viewport: dict[str, int]
) -> None:
    page = new_page(color_scheme=theme, viewport=viewport, reduced_motion="reduce").open(side=64)
    page.wait_frame(1)
    page.tab.evaluate(
        "() => { document.querySelector('details').open = true; document.getElementById('key-form').hidden = false; }"
    )
    found = Axe().run(page.tab)
    assert found.violations_count == 0, found.generate_report()
    assert page.tab.evaluate("() => document.documentElement.scrollWidth <= innerWidth")


def test_the_whole_page_is_below_200_kb_and_comes_from_one_origin(page: Any) -> None:
    answers: list[Any] = []
    page.tab.on("response", lambda answer: answers.append(answer))  # noqa: PLW0108 - Playwright marks what it calls
    page.open(side=64)
    page.wait_frame(2)
    files = [answer for answer in answers if not answer.url.endswith("fleet.json")]
    sizes = {answer.url: len(answer.body()) for answer in files}
    assert {answer.status for answer in files} == {200}
    assert 10_000 < sum(sizes.values()) < BUDGET_BYTES, sizes
    assert all(url.startswith(page.url) for url in page.requests), page.requests
    folder = Path(__file__).parents[3] / "gateway" / "atheria_gateway" / "live_page"
    assert len(sizes) == len([file for file in folder.iterdir() if file.is_file()]), "a file is not used"


def test_every_control_is_reached_by_tab_in_the_order_of_the_page(still_page: Any) -> None:
    still_page.open(side=64)
    still_page.wait_frame(1)
    reached = []
    for _ in range(40):
        still_page.tab.keyboard.press("Tab")
        name = still_page.tab.evaluate("() => document.activeElement.id || document.activeElement.tagName")
        if name == "BODY" or name in reached:
            break
        reached.append(name)
    assert reached == [
        *("A", "theme", "pause", "next", "restart", "speed"),
        *("model", "initial", "side", "seed", "new-seed", "noise", "SUMMARY", "shortcuts"),
    ]


def test_single_keys_do_what_the_buttons_do_unless_a_person_types_or_turns_them_off(still_page: Any) -> None:
    still_page.open(side=64, seed=4)
    still_page.wait_frame(1)
    press = still_page.tab.keyboard.press
    seed = still_page.tab.get_by_label("Seed")
    press(".")
    still_page.wait_frame(2)
    press("r")
    eventually("frame 1 again", lambda: still_page.frame == 1, still_page)
    press("n")
    assert seed.input_value() != "4"
    eventually("the first frame of another seed", lambda: still_page.frame == 1, still_page)
    theme = still_page.tab.get_by_label("Theme")
    press("t")
    assert theme.input_value() == "light"
    assert still_page.tab.evaluate("() => getComputedStyle(document.documentElement).colorScheme") == "light"
    press("t")
    assert theme.input_value() == "dark"
    press(" ")
    still_page.wait_frame(5)
    press("?")
    assert not still_page.tab.locator("details").evaluate("one => one.open")
    press("?")
    assert still_page.tab.evaluate("() => document.activeElement.tagName") == "SUMMARY"
    seed.focus()
    press("t")
    assert theme.input_value() == "dark"
    still_page.tab.get_by_label("Use these keys").press("Space")
    still_page.tab.locator("body").click(position={"x": 2, "y": 2})
    press("t")
    assert theme.input_value() == "dark"


def test_the_theme_is_remembered(new_page: Callable[..., Any]) -> None:
    page = new_page(reduced_motion="reduce", color_scheme="light").open(side=64)
    page.tab.get_by_label("Theme").select_option("dark")
    page.tab.reload()
    assert page.tab.get_by_label("Theme").input_value() == "dark"
    assert page.tab.evaluate("() => getComputedStyle(document.body).backgroundColor") == "rgb(16, 15, 26)"


def test_without_motion_the_page_stands_still_until_it_is_asked(still_page: Any) -> None:
    still_page.open(side=64)
    still_page.wait_frame(1)
    still_page.tab.wait_for_timeout(500)
    assert still_page.frame == 1
    assert still_page.text("#fps") == "0"
