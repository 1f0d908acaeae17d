"""The queue: every task gets its workers, no worker sees a picture twice, nothing is lost or counted twice."""

import contextlib
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from imagenetd.config.qc import SentinelRule, StoppingConfig
from imagenetd.errors import StoreError
from imagenetd.qc.annotate.database import Database
from imagenetd.qc.annotate.desk import Desk
from imagenetd.qc.annotate.refusals import Refusal
from imagenetd.qc.annotate.workers import Workers
from imagenetd.qc.completion import Rules, plain_rules
from imagenetd.qc.tasks import Judgement, Received, Response, Slot, SlotRole, Task, TaskSettings
from imagenetd.qc.votes_folder import (
    Progress,
    VotesFolder,
    read_responses,
    response_name,
    write_response,
    write_tasks,
)

TIMEOUT_S = 60.0
RULES = Rules(2, SentinelRule.both, StoppingConfig(False, 3, 0.99, False, 0.8))


class Clock:
    """A clock that the test turns."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def task(name: str, *images: str) -> Task:
    return Task(name, tuple(Slot(n, image, "mug", SlotRole.ITEM) for n, image in enumerate(images)))


TASKS = [task("t0", "a", "b"), task("t1", "c", "d")]


def delivered(votes: VotesFolder) -> list[Received]:
    """Return every response in the folder; what is open knows the same."""
    found = read_responses(votes.folder, votes.task_set)
    assert all(votes.received(one.response.task_id, one.response.worker) == one for one in found)
    assert votes.progress().num_sent == len(found)
    return found


def ask(folder: Path, tasks: Sequence[Task]) -> None:
    """Write what is asked; two workers answer each task."""
    settings = TaskSettings({"mug": "mug"}, (), RULES.workers_per_image, rules=plain_rules(RULES))
    write_tasks(folder, tasks, {}, settings)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    ask(tmp_path / "votes", TASKS)
    return tmp_path / "votes"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(tmp_path / "desk.sqlite3")
    yield database
    database.close()


@pytest.fixture
def votes(folder: Path) -> VotesFolder:
    return VotesFolder(folder)


@pytest.fixture
def desk(database: Database, votes: VotesFolder, clock: Clock) -> Desk:
    return Desk(database, votes, timeout_s=TIMEOUT_S, clock=clock)


def complete(desk: Desk, worker: str, task_id: str, *, num_slots: int = 2) -> Response:
    for position in range(num_slots):
        desk.save(task_id, worker, Judgement(position, True, False, 1.0))
    return desk.submit(task_id, worker)


def refusal_of(act: Callable[[], object]) -> tuple[int, str]:
    with pytest.raises(Refusal) as caught:
        act()
    return caught.value.status, caught.value.code


def test_every_task_gets_its_workers_and_none_more(desk: Desk) -> None:
    taken = [desk.take(worker) for worker in ("w1", "w2", "w3", "w4", "w5")]
    assert taken == ["t0", "t0", "t1", "t1", None]


def test_an_unfinished_task_comes_back_to_its_worker_with_its_answers(desk: Desk) -> None:
    assert desk.take("w1") == "t0"
    desk.save("t0", "w1", Judgement(0, True, False, 2.5))
    assert desk.take("w1") == "t0"
    assert desk.answers("t0", "w1") == {0: Judgement(0, True, False, 2.5)}


def test_a_worker_who_has_sent_a_task_gets_another_and_then_none(desk: Desk) -> None:
    for expected in ("t0", "t1"):
        assert desk.take("w1") == expected
        complete(desk, "w1", expected)
    assert desk.take("w1") is None


def test_no_worker_gets_a_task_with_a_picture_of_an_earlier_one(folder: Path, desk: Desk) -> None:
    ask(folder, [task("t0", "a", "b"), task("shares b", "b", "x"), task("t2", "y", "z")])
    desk.take("w1")
    complete(desk, "w1", "t0")
    assert desk.take("w1") == "t2"
    assert desk.take("w2") == "t0"


def test_a_task_given_up_returns_to_the_queue_after_the_time_out(
    folder: Path, desk: Desk, clock: Clock
) -> None:
    ask(folder, TASKS[:1])
    desk.take("w1"), desk.take("w2")
    assert desk.take("w3") is None
    clock.now += TIMEOUT_S - 1
    assert desk.take("w3") is None
    clock.now += 2
    assert desk.take("w3") == "t0"


def test_an_answer_puts_the_time_out_off(folder: Path, desk: Desk, clock: Clock) -> None:
    ask(folder, TASKS[:1])
    desk.take("w1"), desk.take("w2")
    clock.now += TIMEOUT_S - 1
    desk.save("t0", "w1", Judgement(0, True, True, 1.0))
    clock.now += 2  # the lease of w2 has run out, that of w1 has not
    assert [desk.take("w3"), desk.take("w4")] == ["t0", None]


def test_who_comes_back_late_goes_on_while_the_place_is_free(desk: Desk, clock: Clock) -> None:
    desk.take("w1")
    desk.save("t0", "w1", Judgement(0, True, True, 1.0))
    clock.now += 10 * TIMEOUT_S
    desk.save("t0", "w1", Judgement(1, True, True, 1.0))
    assert len(desk.submit("t0", "w1").answers) == 2


def test_who_comes_back_after_the_task_was_given_away_is_refused(
    folder: Path, desk: Desk, clock: Clock
) -> None:
    ask(folder, TASKS[:1])
    desk.take("w1")
    clock.now += TIMEOUT_S + 1
    assert [desk.take("w2"), desk.take("w3")] == ["t0", "t0"]
    assert refusal_of(lambda: desk.save("t0", "w1", Judgement(0, True, True, 1.0))) == (410, "given_away")
    assert refusal_of(lambda: desk.submit("t0", "w1")) == (410, "given_away")
    assert desk.take("w1") is None
    assert desk.answers("t0", "w1") == {}


def test_a_second_submission_is_refused_and_counted_once(desk: Desk, votes: VotesFolder) -> None:
    desk.take("w1")
    complete(desk, "w1", "t0")
    assert refusal_of(lambda: desk.submit("t0", "w1")) == (409, "already_submitted")
    assert votes.progress() == Progress(num_sent=1, num_missing=3)


def test_an_answer_after_the_submission_changes_nothing(desk: Desk, votes: VotesFolder) -> None:
    desk.take("w1")
    sent = complete(desk, "w1", "t0")
    late = Judgement(0, False, False, 1.0)
    assert refusal_of(lambda: desk.save("t0", "w1", late)) == (409, "already_submitted")
    assert [one.response for one in delivered(votes)] == [sent]


def test_an_answer_can_be_changed_until_the_task_is_sent(desk: Desk) -> None:
    desk.take("w1")
    for says in (True, False):
        desk.save("t0", "w1", Judgement(0, says, says, 1.0))
    assert desk.answers("t0", "w1")[0].can_recognise is False


def test_a_picture_is_locked_until_the_one_before_is_answered(desk: Desk, votes: VotesFolder) -> None:
    desk.take("w1")
    assert refusal_of(lambda: desk.save("t0", "w1", Judgement(1, True, True, 1.0))) == (409, "question_open")
    assert refusal_of(lambda: desk.submit("t0", "w1")) == (409, "question_open")
    assert desk.answers("t0", "w1") == {} and delivered(votes) == []


@pytest.mark.parametrize("position", [-1, 2, 10**30])
def test_a_picture_that_is_not_there_is_refused(desk: Desk, position: int) -> None:
    desk.take("w1")
    desk.save("t0", "w1", Judgement(0, True, True, 1.0))
    desk.save("t0", "w1", Judgement(1, True, True, 1.0))
    assert refusal_of(lambda: desk.save("t0", "w1", Judgement(position, True, True, 1.0)))[0] == 422


@pytest.mark.parametrize(("said", "kept"), [(float("nan"), 0.0), (-5.0, 0.0), (1e9, 86_400.0), (2.5, 2.5)])
def test_the_time_of_an_answer_is_what_a_clock_can_show(desk: Desk, said: float, kept: float) -> None:
    desk.take("w1")
    desk.save("t0", "w1", Judgement(0, True, True, said))
    assert desk.answers("t0", "w1")[0].seconds == kept


def test_a_task_of_somebody_else_is_unknown(desk: Desk) -> None:
    desk.take("w1")
    assert refusal_of(lambda: desk.save("t0", "w2", Judgement(0, True, True, 1.0))) == (404, "unknown")
    assert refusal_of(lambda: desk.submit("t0", "w2")) == (404, "unknown")


def test_a_response_that_does_not_count_is_replaced(folder: Path, desk: Desk) -> None:
    """The rule of the qc stage: only responses that pass every sentinel count."""
    sock = Slot(1, "s", "mug", SlotRole.NEGATIVE)
    ask(folder, [Task("t0", (Slot(0, "a", "mug", SlotRole.ITEM), sock))])
    for worker, says in (("cheat", True), ("w1", False)):
        assert desk.take(worker) == "t0"
        desk.save("t0", worker, Judgement(0, True, True, 1.0))
        desk.save("t0", worker, Judgement(1, says, says, 1.0))
        desk.submit("t0", worker)
    assert [desk.take("w2"), desk.take("w3")] == ["t0", None]


def test_a_withdrawn_task_is_given_to_nobody_and_keeps_its_votes(
    folder: Path, desk: Desk, votes: VotesFolder
) -> None:
    desk.take("w1")
    complete(desk, "w1", "t0")
    desk.take("w2")
    ask(folder, TASKS[1:])
    assert desk.take("w2") == "t1"
    assert votes.received("t0", "w1") is not None and votes.progress().num_sent == 1


def test_a_response_from_elsewhere_is_taken_once_and_replaces_what_was_begun(
    desk: Desk, votes: VotesFolder
) -> None:
    desk.take("w1")
    desk.save("t0", "w1", Judgement(0, False, False, 1.0))
    brought = Response("t0", "w1", (Judgement(0, True, True, 3.0), Judgement(1, True, True, 3.0)))
    assert [desk.take_in(brought), desk.take_in(brought)] == [True, False]
    assert [one.response for one in delivered(votes)] == [brought]


def test_a_task_taken_away_on_a_form_is_kept_until_its_day(folder: Path, desk: Desk, clock: Clock) -> None:
    ask(folder, TASKS[:1])
    assert desk.take_away("w1", 3, until=clock.now + 100 * TIMEOUT_S) == ["t0"]
    desk.take("w2")
    clock.now += 50 * TIMEOUT_S
    assert [desk.take("w3"), desk.take("w4")] == ["t0", None]
    clock.now += 51 * TIMEOUT_S
    assert desk.take("w5") == "t0"


def test_answers_survive_a_process_that_never_closed_the_file(tmp_path: Path, votes: VotesFolder) -> None:
    first = Database(tmp_path / "desk.sqlite3")
    desk = Desk(first, votes, timeout_s=TIMEOUT_S)
    desk.take("w1")
    desk.save("t0", "w1", Judgement(0, True, False, 1.0))
    second = Database(tmp_path / "desk.sqlite3")
    assert Desk(second, votes, timeout_s=TIMEOUT_S).answers("t0", "w1")[0].can_recognise
    first.close(), second.close()


def rows_of(database: Database) -> int:
    with database.reading() as connection:
        return sum(
            connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("lease", "answer")
        )


def test_what_was_sent_stands_in_the_folder_alone(desk: Desk, database: Database, folder: Path) -> None:
    desk.take("w1")
    assert complete(desk, "w1", "t0") == delivered(VotesFolder(folder))[0].response
    assert rows_of(database) == 0


def test_a_kill_between_the_file_and_the_desk_counts_once(
    desk: Desk, votes: VotesFolder, folder: Path, database: Database, clock: Clock
) -> None:
    desk.take("w1")
    for position in range(2):
        desk.save("t0", "w1", Judgement(position, True, False, 1.0))
    sent = Response("t0", "w1", tuple(desk.answers("t0", "w1").values()))
    write_response(folder, TASKS[0], sent)  # and the process ends before the desk is cleared
    again = Desk(database, VotesFolder(folder), timeout_s=TIMEOUT_S, clock=clock)
    assert (again.deliver(), rows_of(database)) == (0, 0)
    for one in (again, desk):
        assert refusal_of(lambda one=one: one.submit("t0", "w1")) == (409, "already_submitted")
    assert VotesFolder(folder).progress() == Progress(num_sent=1, num_missing=3)
    assert [again.take(worker) for worker in ("w1", "w2", "w3")] == ["t1", "t0", "t1"]


def test_what_another_process_delivers_is_seen_at_once(desk: Desk, folder: Path, votes: VotesFolder) -> None:
    for worker in ("w1", "w2"):
        answers = tuple(Judgement(position, True, True, 1.0) for position in range(2))
        write_response(folder, TASKS[0], Response("t0", worker, answers))
    assert desk.take("w3") == "t1"
    assert votes.progress() == Progress(num_sent=2, num_missing=2)


def test_a_response_that_the_owner_takes_out_is_asked_for_again(
    desk: Desk, folder: Path, votes: VotesFolder
) -> None:
    for worker in ("w1", "w2"):
        desk.take(worker)
        complete(desk, worker, "t0")
    assert desk.take("w3") == "t1"
    (folder / "responses" / response_name("t0", "w2")).unlink()
    assert desk.take("w4") == "t0"
    assert [one.response.worker for one in delivered(votes)] == ["w1"]


@pytest.mark.parametrize("layout", [1, 3])
def test_a_desk_of_another_layout_is_refused_and_left_as_it_is(tmp_path: Path, layout: int) -> None:
    path = tmp_path / "desk.sqlite3"
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.executescript(f"CREATE TABLE lease (task_id TEXT); PRAGMA user_version = {layout};")
    before = path.read_bytes()
    with pytest.raises(StoreError, match=rf"has layout {layout}, this version reads 2"):
        Database(path)
    with contextlib.closing(sqlite3.connect(path)) as other:
        assert other.execute("SELECT count(*) FROM lease").fetchone() == (0,)
    assert len(path.read_bytes()) == len(before)


def test_a_damaged_database_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "desk.sqlite3").write_bytes(b"not a database, but long enough to be looked at" * 20)
    with pytest.raises(StoreError, match="cannot be opened"):
        Database(tmp_path / "desk.sqlite3")


def test_a_blocked_worker_is_refused_until_let_in_again(database: Database) -> None:
    workers = Workers(database)
    workers.enter("w1")
    workers.block("w1")
    assert refusal_of(lambda: workers.enter("w1")) == (403, "blocked")
    workers.block("w1", is_blocked=False)
    workers.enter("w1")
