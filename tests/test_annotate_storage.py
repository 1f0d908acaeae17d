"""Votes are private whatever the umask, and what could not be written is delivered again, once."""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imagenetd.qc.annotate.room import Room
from imagenetd.qc.annotate.serve import delivering
from imagenetd.qc.annotate.turk.state import TurkState
from imagenetd.qc.votes_folder import read_responses
from tests.test_annotate_app import Browser
from tests.votes_folder import make_votes_folder


@contextlib.contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def open_to_others(folder: Path) -> list[str]:
    return sorted(str(path) for path in (folder, *folder.rglob("*")) if path.stat().st_mode & 0o077)


def answer_a_task(browser: Browser) -> str:
    """Answer a task and return its name; it is not sent yet."""
    task = browser.post("/api/task", {}).json()
    browser.answer_all(task)
    return task["task"]


def send_a_task(browser: Browser) -> Any:
    return browser.post("/api/submit", {"task": answer_a_task(browser)})


@pytest.mark.parametrize("mask", [0o000, 0o022])
def test_whatever_the_umask_nobody_else_can_read_votes_truth_or_secrets(tmp_path: Path, mask: int) -> None:
    with umask(mask):
        votes = make_votes_folder(tmp_path)
        with contextlib.closing(Room(votes, timeout_s=600)) as room:
            assert send_a_task(Browser(room, "anna")).status_code == 200
            TurkState(votes / "mturk" / "sandbox.json").save()
            assert (votes / "desk" / "desk.sqlite3-wal").is_file()
            assert open_to_others(votes) == []


def test_a_folder_that_was_open_to_others_is_closed_when_it_is_opened(tmp_path: Path) -> None:
    votes = make_votes_folder(tmp_path)
    Room(votes, timeout_s=600).close()
    for path in (votes, *votes.rglob("*")):
        path.chmod(0o777 if path.is_dir() else 0o666)
    with contextlib.closing(Room(votes, timeout_s=600)):
        assert open_to_others(votes) == []


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    with contextlib.closing(Room(make_votes_folder(tmp_path), timeout_s=600)) as room:
        yield room


@contextlib.contextmanager
def unwritable(room: Room) -> Iterator[None]:
    """A file stands where the folder of the responses was: nothing can be written there, not even by root."""
    folder, aside = room.folder / "responses", room.folder / "aside"
    folder.rename(aside)
    folder.write_text("")
    yield
    folder.unlink()
    aside.rename(folder)


def num_delivered(room: Room) -> int:
    return len(read_responses(room.folder, room.task_set))


def test_a_worker_whose_answers_cannot_be_stored_is_asked_to_try_again_and_then_they_arrive(
    room: Room,
) -> None:
    anna = Browser(room, "anna")
    task = answer_a_task(anna)
    with unwritable(room):
        refused = anna.post("/api/submit", {"task": task})
        assert (refused.status_code, refused.json()["code"]) == (503, "not_kept")
    again = anna.post("/api/submit", {"task": task})
    assert (again.status_code, again.json()) == (200, {"num_sent": 1})
    assert num_delivered(room) == 1
    assert anna.post("/api/submit", {"task": task}).status_code == 409
    assert num_delivered(room) == 1


def test_what_could_not_be_written_arrives_without_the_worker_and_without_a_restart(room: Room) -> None:
    said: list[str] = []
    anna = Browser(room, "anna")
    task = answer_a_task(anna)
    with delivering(room, said.append, every_s=0.02):
        with unwritable(room):
            anna.post("/api/submit", {"task": task})
            time.sleep(0.1)
        for _ in range(200):
            if not room.desk.is_behind:
                break
            time.sleep(0.02)
    assert num_delivered(room) == 1 and not room.desk.is_behind
    assert said and all("responses" in line for line in said)


def test_a_damaged_response_stops_the_page_until_it_is_deleted(room: Room) -> None:
    anna, damaged = Browser(room, "anna"), room.folder / "responses" / "task1--ben.json"
    damaged.write_text("{")
    refused = anna.post("/api/task", {})
    assert (refused.status_code, refused.json()["code"]) == (503, "not_kept")
    damaged.unlink()
    assert send_a_task(anna).status_code == 200


def test_delivering_twice_changes_nothing(room: Room) -> None:
    send_a_task(Browser(room, "anna"))
    assert room.desk.deliver() == 0
    assert num_delivered(room) == 1


def test_a_picture_that_cannot_be_read_is_told_as_a_failure_of_the_server(room: Room) -> None:
    anna = Browser(room, "anna")
    picture = anna.post("/api/task", {}).json()["slots"][0]["image"]
    (room.folder.parent / "pool" / "shard.tar").unlink()
    assert anna.client.get(picture).status_code == 503
