"""Who works at which shard: each is taken once, a lost worker's come back, and an error ends the work of all."""

import threading
import time
from pathlib import Path

import pytest

from imagenetd.errors import DataError, WorkerError
from imagenetd.stages.workers.board import Board, Hand, Pulse, Seat, Sign, StoppedError, Watch, error_of


@pytest.fixture
def board(tmp_path: Path) -> Board:
    made = Board(tmp_path)
    made.open()
    return made


def seat(number: int, count: int = 2, slow_factor: float = 0.0) -> Seat:
    return Seat(number=number, count=count, name=f"w{number}", slow_factor=slow_factor)


class Shelf:
    """Shards that are stored, or not yet."""

    def __init__(self, num_shards: int) -> None:
        self.num_shards = num_shards
        self.stored: list[int] = []

    def missing(self) -> list[int]:
        return [shard for shard in range(self.num_shards) if shard not in self.stored]

    def is_missing(self, shard: int) -> bool:
        return shard not in self.stored


def hand(board: Board, pulse: Pulse, shelf: Shelf, *, lost_after_s: float = 60.0) -> Hand:
    return Hand(board, pulse, missing=shelf.missing, is_missing=shelf.is_missing, lost_after_s=lost_after_s)


def work(board: Board, number: int, shelf: Shelf, count: int = 2) -> None:
    with Pulse(board, seat(number, count)) as pulse:
        for shards in hand(board, pulse, shelf).rounds():
            for shard in shards:
                time.sleep(0.001)
                shelf.stored.append(shard)


def test_a_shard_is_taken_by_one(board: Board) -> None:
    assert board.claim(3, "a")
    assert not board.claim(3, "b")
    assert board.claims() == {3: "a"}
    board.free(3)
    assert board.claim(3, "b")


def test_eight_workers_at_once_take_every_shard_exactly_once(board: Board) -> None:
    shelf = Shelf(400)
    threads = [threading.Thread(target=work, args=(board, number, shelf, 8)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert sorted(shelf.stored) == list(range(400))
    taken = {name: sign.num_shards for name, sign in board.signs().items()}
    assert sum(taken.values()) == 400


def test_a_silent_workers_shards_are_taken_over(board: Board) -> None:
    shelf = Shelf(3)
    assert board.claim(1, "gone")
    with Pulse(board, seat(0)) as pulse:
        for shards in hand(board, pulse, shelf, lost_after_s=0.3).rounds():
            shelf.stored += list(shards)
    assert shelf.stored == [0, 2, 1]


def test_a_worker_with_signs_of_life_keeps_its_shard_however_long_it_takes(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imagenetd.stages.workers.board.BEAT_S", 0.05)
    shelf = Shelf(2)
    with Pulse(board, seat(1)), Pulse(board, seat(0)) as pulse:
        assert board.claim(1, "w1")
        rounds = hand(board, pulse, shelf, lost_after_s=0.5).rounds()
        shelf.stored += list(next(rounds))
        assert shelf.stored == [0]
        late = threading.Timer(1.5, shelf.stored.append, [1])
        late.start()
        assert list(rounds) == []
    assert board.claims()[1] == "w1"


def test_a_shard_that_takes_far_longer_than_the_others_is_begun_once_more(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Worker 1 lives and holds shard 1 for ever; worker 0 has made four others, and makes that one as well."""
    monkeypatch.setattr("imagenetd.stages.workers.board.BEAT_S", 0.05)
    shelf = Shelf(5)
    made: list[int] = []
    assert board.claim(1, "w1")
    with (
        Pulse(board, seat(1)),
        Pulse(board, seat(0, 1, 3.0)) as pulse,
        Pulse(board, seat(2, 2, 3.0)) as third,
    ):
        started = time.monotonic()
        keen = hand(board, pulse, shelf)
        for shards in keen.rounds():
            for shard in shards:
                if shard == 1:  # now another idle worker finds that the copy has been begun
                    assert hand(board, third, shelf)._slow([1]) is None
                time.sleep(0.1)
                made.append(shard)
                shelf.stored.append(shard)
        assert made == [0, 2, 3, 4, 1]
        assert 1.0 < time.monotonic() - started < 5.0
    assert board.claims()[1] == "w1"


def test_no_shard_is_begun_twice_where_that_is_not_asked_for(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imagenetd.stages.workers.board.BEAT_S", 0.05)
    monkeypatch.setattr("imagenetd.stages.workers.board.MIN_SLOW_S", 0.0)
    shelf = Shelf(4)
    assert board.claim(1, "w1")
    with Pulse(board, seat(1)), Pulse(board, seat(0)) as pulse:
        threading.Timer(1.0, shelf.stored.append, [1]).start()
        for shards in hand(board, pulse, shelf).rounds():
            shelf.stored += list(shards)
    assert sorted(shelf.stored) == [0, 1, 2, 3]


def test_the_copy_of_a_lost_worker_is_given_back(board: Board) -> None:
    assert board.claim_copy(3, "gone") and not board.claim_copy(3, "b")
    board.forget("gone")
    assert board.claim_copy(3, "b")


def test_the_watchers_own_clock_tells_who_is_silent() -> None:
    watch = Watch(0.2)
    signs = {"a": Sign(name="a", number=0, host="h", pid=1, beat=7)}
    assert watch.silent(signs, ["a", "b"]) == []
    time.sleep(0.3)
    signs["a"] = Sign(name="a", number=0, host="h", pid=1, beat=8)
    assert watch.silent(signs, ["a", "b"]) == ["b"]
    ended = {"a": Sign(name="a", number=0, host="h", pid=1, beat=9, is_ended=True)}
    assert watch.silent(ended, ["a"]) == ["a"]


def test_what_goes_wrong_stands_in_the_sign_and_calls_the_others_off(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imagenetd.stages.workers.board.BEAT_S", 0.02)
    with Pulse(board, seat(0)) as first, Pulse(board, seat(1)) as second:
        second.check()
        first.fail(DataError("cat.png cannot be\nread."))
        time.sleep(0.2)
        with pytest.raises(StoppedError):
            second.check()
    sign = board.signs()["w0"]
    assert (sign.error_kind, sign.error, sign.is_ended) == ("DataError", "cat.png cannot be read.", True)
    found = error_of(sign)
    assert type(found) is DataError and str(found) == "cat.png cannot be read."


@pytest.mark.parametrize("text", ["\u732b" * 5000, '"' * 5000, "short"])
def test_an_error_of_any_length_and_alphabet_fits_into_a_sign(board: Board, text: str) -> None:
    with Pulse(board, seat(0)) as pulse:
        pulse.fail(DataError(text))
    found = board.signs()["w0"].error
    assert found and text.startswith(found) and len(found.encode()) <= 3000


def test_an_error_on_another_machine_names_it() -> None:
    sign = Sign(
        name="w3", number=3, host="node7", pid=1, error_kind="StoreError", error="Cannot write /scratch/x"
    )
    found = error_of(sign)
    assert type(found) is WorkerError and str(found) == "Worker 3 on node7: Cannot write /scratch/x"


def test_a_board_that_is_taken_away_ends_the_work(board: Board) -> None:
    board.close()
    with pytest.raises(StoppedError):
        board.claim(0, "a")
    with pytest.raises(StoppedError), Pulse(board, seat(0)):
        pass
