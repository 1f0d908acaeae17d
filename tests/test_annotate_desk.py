"""The queue: every task gets its workers, no worker sees a picture twice, nothing is lost or counted twice."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from imagenetd.errors import StoreError
from imagenetd.qc.annotate.database import Database
from imagenetd.qc.annotate.desk import Desk
from imagenetd.qc.annotate.refusals import Refusal
from imagenetd.qc.annotate.workers import Workers
from imagenetd.qc.tasks import Answer, Response, Slot, SlotRole, Task

NUM_WORKERS = 2
TIMEOUT_S = 60.0


class Clock:
    """A clock that the test turns."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def task(name: str, *images: str) -> Task:
    return Task(name, tuple(Slot(n, image, "mug", SlotRole.ITEM) for n, image in enumerate(images)))


TASKS = [task("t0", "a", "b"), task("t1", "c", "d")]


def two_each(task_id: str, responses: Sequence[Response]) -> int:
    return max(0, NUM_WORKERS - len(responses))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(tmp_path / "desk.sqlite3")
    yield database
    database.close()


@pytest.fixture
def desk(database: Database, clock: Clock) -> Desk:
    desk = Desk(database, two_each, timeout_s=TIMEOUT_S, clock=clock)
    desk.set_tasks(TASKS)
    return desk


def complete(desk: Desk, worker: str, task_id: str, *, num_slots: int = 2) -> Response:
    for position in range(num_slots):
        desk.save(task_id, worker, Answer(position, True, False, 1.0))
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
    desk.save("t0", "w1", Answer(0, True, False, 2.5))
    assert desk.take("w1") == "t0"
    assert desk.answers("t0", "w1") == {0: Answer(0, True, False, 2.5)}


def test_a_worker_who_has_sent_a_task_gets_another_and_then_none(desk: Desk) -> None:
    for expected in ("t0", "t1"):
        assert desk.take("w1") == expected
        complete(desk, "w1", expected)
    assert desk.take("w1") is None


def test_no_worker_gets_a_task_with_a_picture_of_an_earlier_one(desk: Desk) -> None:
    desk.set_tasks([task("t0", "a", "b"), task("shares b", "b", "x"), task("t2", "y", "z")])
    desk.take("w1")
    complete(desk, "w1", "t0")
    assert desk.take("w1") == "t2"
    assert desk.take("w2") == "t0"


def test_a_task_given_up_returns_to_the_queue_after_the_time_out(desk: Desk, clock: Clock) -> None:
    desk.set_tasks(TASKS[:1])
    desk.take("w1"), desk.take("w2")
    assert desk.take("w3") is None
    clock.now += TIMEOUT_S - 1
    assert desk.take("w3") is None
    clock.now += 2
    assert desk.take("w3") == "t0"


def test_an_answer_puts_the_time_out_off(desk: Desk, clock: Clock) -> None:
    desk.set_tasks(TASKS[:1])
    desk.take("w1"), desk.take("w2")
    clock.now += TIMEOUT_S - 1
    desk.save("t0", "w1", Answer(0, True, True, 1.0))
    clock.now += 2  # the lease of w2 has run out, that of w1 has not
    assert [desk.take("w3"), desk.take("w4")] == ["t0", None]


def test_who_comes_back_late_goes_on_while_the_place_is_free(desk: Desk, clock: Clock) -> None:
    desk.take("w1")
    desk.save("t0", "w1", Answer(0, True, True, 1.0))
    clock.now += 10 * TIMEOUT_S
    desk.save("t0", "w1", Answer(1, True, True, 1.0))
    assert len(desk.submit("t0", "w1").answers) == 2


def test_who_comes_back_after_the_task_was_given_away_is_refused(desk: Desk, clock: Clock) -> None:
    desk.set_tasks(TASKS[:1])
    desk.take("w1")
    clock.now += TIMEOUT_S + 1
    assert [desk.take("w2"), desk.take("w3")] == ["t0", "t0"]
    assert refusal_of(lambda: desk.save("t0", "w1", Answer(0, True, True, 1.0))) == (410, "given_away")
    assert refusal_of(lambda: desk.submit("t0", "w1")) == (410, "given_away")
    assert desk.take("w1") is None
    assert desk.answers("t0", "w1") == {}


def test_a_second_submission_is_refused_and_counted_once(desk: Desk) -> None:
    desk.take("w1")
    complete(desk, "w1", "t0")
    assert refusal_of(lambda: desk.submit("t0", "w1")) == (409, "already_submitted")
    assert (desk.progress().num_sent, desk.progress().num_missing) == (1, 3)


def test_an_answer_after_the_submission_changes_nothing(desk: Desk) -> None:
    desk.take("w1")
    sent = complete(desk, "w1", "t0")
    late = Answer(0, False, False, 1.0)
    assert refusal_of(lambda: desk.save("t0", "w1", late)) == (409, "already_submitted")
    assert [response for response, _ in desk.sent()] == [sent]


def test_an_answer_can_be_changed_until_the_task_is_sent(desk: Desk) -> None:
    desk.take("w1")
    for says in (True, False):
        desk.save("t0", "w1", Answer(0, says, says, 1.0))
    assert desk.answers("t0", "w1")[0].can_recognise is False


def test_a_picture_is_locked_until_the_one_before_is_answered(desk: Desk) -> None:
    desk.take("w1")
    assert refusal_of(lambda: desk.save("t0", "w1", Answer(1, True, True, 1.0))) == (409, "question_open")
    assert refusal_of(lambda: desk.submit("t0", "w1")) == (409, "question_open")
    assert desk.answers("t0", "w1") == {} and desk.sent() == []


@pytest.mark.parametrize("position", [-1, 2, 10**30])
def test_a_picture_that_is_not_there_is_refused(desk: Desk, position: int) -> None:
    desk.take("w1")
    desk.save("t0", "w1", Answer(0, True, True, 1.0))
    desk.save("t0", "w1", Answer(1, True, True, 1.0))
    assert refusal_of(lambda: desk.save("t0", "w1", Answer(position, True, True, 1.0)))[0] == 422


@pytest.mark.parametrize(("said", "kept"), [(float("nan"), 0.0), (-5.0, 0.0), (1e9, 86_400.0), (2.5, 2.5)])
def test_the_time_of_an_answer_is_what_a_clock_can_show(desk: Desk, said: float, kept: float) -> None:
    desk.take("w1")
    desk.save("t0", "w1", Answer(0, True, True, said))
    assert desk.answers("t0", "w1")[0].seconds == kept


def test_a_task_of_somebody_else_is_unknown(desk: Desk) -> None:
    desk.take("w1")
    assert refusal_of(lambda: desk.save("t0", "w2", Answer(0, True, True, 1.0))) == (404, "unknown")
    assert refusal_of(lambda: desk.submit("t0", "w2")) == (404, "unknown")


def test_a_response_that_does_not_count_is_replaced(database: Database) -> None:
    """The rule of the qc stage: only responses that pass every sentinel count."""
    honest = Desk(
        database, lambda task_id, given: 1 - sum(r.worker != "cheat" for r in given), timeout_s=TIMEOUT_S
    )
    honest.set_tasks(TASKS[:1])
    honest.take("cheat")
    complete(honest, "cheat", "t0")
    assert honest.take("w1") == "t0"
    complete(honest, "w1", "t0")
    assert honest.take("w2") is None


def test_a_withdrawn_task_is_given_to_nobody_and_keeps_its_votes(desk: Desk) -> None:
    desk.take("w1")
    complete(desk, "w1", "t0")
    desk.take("w2")
    desk.set_tasks(TASKS[1:])
    assert desk.take("w2") == "t1"
    assert len(desk.sent()) == 1


def test_a_response_from_elsewhere_is_taken_once_and_replaces_what_was_begun(desk: Desk) -> None:
    desk.take("w1")
    desk.save("t0", "w1", Answer(0, False, False, 1.0))
    brought = Response("t0", "w1", (Answer(0, True, True, 3.0), Answer(1, True, True, 3.0)))
    assert [desk.bring(brought), desk.bring(brought)] == [True, False]
    assert [response for response, _ in desk.sent()] == [brought]


def test_a_task_taken_away_on_a_form_is_kept_until_its_day(desk: Desk, clock: Clock) -> None:
    desk.set_tasks(TASKS[:1])
    assert desk.take_away("w1", 3, until=clock.now + 100 * TIMEOUT_S) == ["t0"]
    desk.take("w2")
    clock.now += 50 * TIMEOUT_S
    assert [desk.take("w3"), desk.take("w4")] == ["t0", None]
    clock.now += 51 * TIMEOUT_S
    assert desk.take("w5") == "t0"


def test_answers_survive_a_process_that_never_closed_the_file(tmp_path: Path) -> None:
    first = Database(tmp_path / "desk.sqlite3")
    desk = Desk(first, two_each, timeout_s=TIMEOUT_S)
    desk.set_tasks(TASKS)
    desk.take("w1")
    desk.save("t0", "w1", Answer(0, True, False, 1.0))
    second = Database(tmp_path / "desk.sqlite3")
    assert Desk(second, two_each, timeout_s=TIMEOUT_S).answers("t0", "w1")[0].can_recognise
    first.close(), second.close()


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
