"""The page in a real browser, driven as a worker would: by keys, with reloads, on a phone, with the server away."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imagenetd.qc.votes_folder import read_responses
from tests.page_server import CHROMIUM, CHROMIUM_FLAGS, Served, served
from tests.votes_folder import make_votes_folder

pytestmark = pytest.mark.skipif(not CHROMIUM.is_file(), reason=f"no browser at {CHROMIUM}")
NUM_PICTURES = 5


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=str(CHROMIUM), args=CHROMIUM_FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Served]:
    with served(make_votes_folder(tmp_path)) as running:
        yield running


def expect(what: Any) -> Any:
    from playwright.sync_api import expect as expected

    return expected(what)


def open_page(browser: Any, server: Served, worker: str, *, trained: bool = True, **options: Any) -> Any:
    """Open a worker's invitation in a fresh browser profile; problems of the page fail the test."""
    if trained:
        server.room.workers.enter(worker)
        server.room.workers.finish_examples(worker)
    page = browser.new_context(**options).new_page()
    page.set_default_timeout(15_000)
    page.problems = []
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.on("console", lambda line: line.type == "error" and page.problems.append(line.text))
    page.goto(server.link(worker))
    return page


def press(page: Any, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def place(page: Any, text: str) -> None:
    expect(page.locator("#place")).to_have_text(text)


def test_a_worker_completes_a_task_with_the_keyboard_alone(browser: Any, server: Served) -> None:
    page = open_page(browser, server, "anna", trained=False)
    place(page, "Before you begin")
    press(page, "Enter")
    place(page, "Example 1 of 2")
    press(page, "y", "y", "Enter")
    expect(page.locator("#right")).to_contain_text("Right: the answers are yes and yes.")
    press(page, "Enter", "y", "y", "Enter")
    expect(page.locator("#right")).to_contain_text("Look again: the answers are no and no.")
    press(page, "Enter")
    place(page, "Now the real pictures")
    press(page, "Enter")
    for number in range(1, NUM_PICTURES + 1):
        place(page, f"Picture {number} of {NUM_PICTURES}")
        press(page, *(("2", "4") if number == 4 else ("1", "3")), "Enter")
    place(page, "All pictures answered")
    press(page, "Enter")
    place(page, "Sent, thank you")
    expect(page.locator("#done")).to_have_text("anna: 1 task sent")
    (received,) = read_responses(server.room.folder, server.room.task_set)
    said = [(answer.can_recognise, answer.can_use) for answer in received.response.answers]
    assert said == [(True, True)] * 3 + [(False, False), (True, True)]
    assert all(0 < answer.seconds < 60 for answer in received.response.answers)
    assert page.problems == []


def test_the_next_picture_stays_locked_while_a_question_is_open(browser: Any, server: Served) -> None:
    page = open_page(browser, server, "anna")
    place(page, f"Picture 1 of {NUM_PICTURES}")
    press(page, "Enter")
    expect(page.locator("#refusal")).to_have_text("Both questions need an answer before you go on.")
    press(page, "1", "Enter")
    place(page, f"Picture 1 of {NUM_PICTURES}")
    expect(page.locator("#next")).to_have_attribute("aria-disabled", "true")
    expect(page.get_by_role("group", name="Could the thing")).to_have_class("open")
    assert server.room.desk.answers("task0", "anna") == {}
    press(page, "4", "Enter")
    place(page, f"Picture 2 of {NUM_PICTURES}")


def test_a_reload_restores_answers_also_a_half_given_one(browser: Any, server: Served) -> None:
    page = open_page(browser, server, "anna")
    place(page, f"Picture 1 of {NUM_PICTURES}")
    press(page, "2", "3", "Enter", "1")
    page.reload()
    place(page, f"Picture 2 of {NUM_PICTURES}")
    expect(page.get_by_role("group", name="Does the picture").get_by_label("Yes")).to_be_checked()
    press(page, "Backspace")
    place(page, f"Picture 1 of {NUM_PICTURES}")
    expect(page.get_by_role("group", name="Does the picture").get_by_label("No")).to_be_checked()
    expect(page.get_by_role("group", name="Could the thing").get_by_label("Yes")).to_be_checked()


def test_an_answer_can_be_changed_until_the_task_is_sent(browser: Any, server: Served) -> None:
    page = open_page(browser, server, "anna")
    for number in range(1, NUM_PICTURES + 1):
        place(page, f"Picture {number} of {NUM_PICTURES}")
        press(page, "y", "y", "Enter")
    place(page, "All pictures answered")
    press(page, "Backspace", "n", "2", "4", "Enter", "Enter")
    place(page, "Sent, thank you")
    (received,) = read_responses(server.room.folder, server.room.task_set)
    assert (received.response.answers[-1].can_recognise, received.response.answers[-1].can_use) == (
        False,
        False,
    )


def test_answers_given_while_the_server_is_away_are_sent_when_it_is_back(
    browser: Any, tmp_path: Path
) -> None:
    votes = make_votes_folder(tmp_path)
    with served(votes) as first:
        page = open_page(browser, first, "anna")
        place(page, f"Picture 1 of {NUM_PICTURES}")
        port = int(first.address.rsplit(":", 1)[1])
    for _ in range(NUM_PICTURES):
        press(page, "y", "y", "Enter")
    expect(page.locator("#notice")).to_contain_text("Your answers are kept here")
    press(page, "Enter")
    with served(votes, port=port) as second:
        place(page, "Sent, thank you")
        assert len(read_responses(votes, second.room.task_set)) == 1


def test_a_name_with_markup_is_shown_as_text(browser: Any, tmp_path: Path) -> None:
    markup = "<img src=x onerror=document.title='broken'> & {object} $& mug"
    with served(make_votes_folder(tmp_path, display={"mug": markup})) as server:
        page = open_page(browser, server, "anna")
        expect(page.locator("#object")).to_have_text(markup)
        expect(
            page.get_by_role("group", name=f"Does the picture show this object: {markup}?")
        ).to_be_visible()
        assert page.locator("main img").count() == 1
        assert page.title() == "Is the object in the picture?"
        assert page.problems == []


def test_every_control_has_a_name_and_the_picture_says_where_it_stands(browser: Any, server: Served) -> None:
    page = open_page(browser, server, "anna")
    place(page, f"Picture 1 of {NUM_PICTURES}")
    expect(page.get_by_role("img", name=f"Picture 1 of {NUM_PICTURES}")).to_be_visible()
    expect(page.get_by_role("progressbar", name="Pictures answered in this task")).to_be_visible()
    assert page.get_by_role("radio").count() == 4
    for question in ("Does the picture show this object: mug?", "Could the thing in the picture be used as"):
        group = page.get_by_role("group", name=question)
        for answer in ("Yes", "No"):
            expect(group.get_by_role("radio", name=answer)).to_be_visible()
    for button in ("Larger", "Back", "Next", "Help"):
        expect(page.get_by_role("button", name=button)).to_be_visible()
    expect(page.locator("#figure")).to_be_focused()


def test_on_a_phone_both_questions_are_on_the_screen_and_taps_do(browser: Any, server: Served) -> None:
    phone = {
        "viewport": {"width": 393, "height": 727},
        "device_scale_factor": 2.75,
        "is_mobile": True,
        "has_touch": True,
    }
    page = open_page(browser, server, "anna", **phone)
    place(page, f"Picture 1 of {NUM_PICTURES}")
    radios = page.get_by_role("radio")
    for number in range(4):
        box = radios.nth(number).bounding_box()
        assert box["y"] >= 0 and box["y"] + box["height"] < 660  # above the bar with Back and Next
    radios.nth(0).tap()
    radios.nth(3).tap()
    page.get_by_role("button", name="Next").tap()
    place(page, f"Picture 2 of {NUM_PICTURES}")


def test_two_windows_of_one_worker_send_a_task_once(browser: Any, server: Served) -> None:
    first = open_page(browser, server, "anna")
    second = open_page(browser, server, "anna")
    for page in (first, second):
        for number in range(1, NUM_PICTURES + 1):
            place(page, f"Picture {number} of {NUM_PICTURES}")
            press(page, "y", "y", "Enter")
        place(page, "All pictures answered")
    for page in (first, second):
        press(page, "Enter")
        place(page, "Sent, thank you")
    assert len(read_responses(server.room.folder, server.room.task_set)) == 1


def test_a_link_that_does_not_hold_says_so(browser: Any, server: Served) -> None:
    page = browser.new_page()
    page.goto(server.address)
    expect(page.locator("#rest-text")).to_contain_text("Open your invitation link again.")
