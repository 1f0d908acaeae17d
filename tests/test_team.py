"""The processes of one launch: who leads, how they meet, what happens when one comes late, fails or dies."""

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from imagenetd.config.schema import LauncherName
from imagenetd.errors import ConfigError, WorkerError
from imagenetd.stages.workers.team.follower import Follower, StoppedError
from imagenetd.stages.workers.team.leader import Leader
from imagenetd.stages.workers.team.meeting import Meeting, join_leader, meeting_file, publish, read_meeting
from imagenetd.stages.workers.team.place import (
    Place,
    check_size,
    find_place,
    is_follower,
    is_one_machine,
    num_tasks_beside,
)

SRUN = {
    "SLURM_PROCID": "3",
    "SLURM_LOCALID": "1",
    "SLURM_NTASKS": "4",
    "SLURM_JOB_ID": "17",
    "SLURM_STEP_ID": "0",
}


def test_a_task_of_srun_knows_its_place() -> None:
    place = find_place(LauncherName.srun, {**SRUN, "SLURM_RESTART_COUNT": "2", "SLURMD_NODENAME": "n2"})
    assert place == Place(3, 1, 4, "srun-17-0-2", "n2")
    assert is_follower(SRUN) and num_tasks_beside(SRUN) == 4


def test_a_process_that_nobody_started_leads_itself() -> None:
    assert not is_follower({}) and num_tasks_beside({}) == 1
    assert not is_follower({**SRUN, "SLURM_PROCID": "0"})


def test_a_launcher_that_did_not_start_this_process_is_told() -> None:
    with pytest.raises(ConfigError, match=r"trainer.launcher=srun, but srun did not start this process"):
        find_place(LauncherName.srun, {})


def test_another_number_of_tasks_than_srun_started_is_told() -> None:
    place = find_place(LauncherName.srun, SRUN)
    check_size(place, 2, 2, {"SLURM_NTASKS_PER_NODE": "2", "SLURM_NNODES": "2"})
    with pytest.raises(ConfigError, match=r"trainer.devices=8, but srun started 2"):
        check_size(place, 8, None, {"SLURM_NTASKS_PER_NODE": "2"})


def place(rank: int, world_size: int = 2) -> Place:
    return Place(rank, rank, world_size, "srun-1-0-0", f"n{rank}")


@pytest.fixture
def leader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Leader]:
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    made = Leader(place(0), tmp_path, join_timeout_s=20)
    yield made
    made.disband(waits=False)


def join(folder: Path, rank: int = 1) -> Follower:
    return Follower(place(rank), join_leader(folder, place(rank), timeout_s=20))


def in_background(task: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=task, daemon=True)
    thread.start()
    return thread


def everything(take: Callable[[], int | None]) -> list[int]:
    return list(iter(take, None))


def test_leader_and_follower_take_every_shard_once(tmp_path: Path, leader: Leader) -> None:
    follower, taken = join(tmp_path), []

    def work() -> None:
        assert next(follower.stages()) == b"what to do"
        taken.extend(everything(follower.take))
        follower.ended(None)

    thread = in_background(work)
    leader.begin(b"what to do", list(range(100)))
    own = everything(leader.take)
    shares = leader.end(timeout_s=20)
    thread.join(20)
    assert sorted(own + taken) == list(range(100))
    assert shares == {rank: len(part) for rank, part in ((0, own), (1, taken)) if part}


def test_who_comes_late_joins_the_work_in_progress(tmp_path: Path, leader: Leader) -> None:
    leader.join_timeout_s = 0
    leader.begin(b"what to do", [1, 2, 3])
    assert leader.take() == 1
    follower = join(tmp_path)
    assert next(follower.stages()) == b"what to do"
    assert everything(follower.take) == [2, 3]
    follower.ended(None)
    assert leader.end(timeout_s=20) == {0: 1, 1: 2}


def test_no_more_followers_are_called_than_there_are_shards(tmp_path: Path, leader: Leader) -> None:
    follower = join(tmp_path)
    leader.begin(b"what to do", [5])
    assert everything(leader.take) == [5]
    assert leader.end(timeout_s=20) == {0: 1}
    assert not follower._connection.poll()


def test_the_error_of_a_follower_is_the_error_of_the_run(tmp_path: Path, leader: Leader) -> None:
    follower = join(tmp_path)
    leader.begin(b"what to do", [1, 2])
    assert next(follower.stages()) == b"what to do"
    follower.ended("Cannot write x: the disk is full.")
    with pytest.raises(WorkerError, match=r"Process 1 on n1: Cannot write x: the disk is full\."):
        leader.end(timeout_s=20)


def test_a_follower_that_dies_is_named_when_the_others_are_done(tmp_path: Path, leader: Leader) -> None:
    follower = join(tmp_path)
    leader.begin(b"what to do", [1, 2, 3])
    next(follower.stages())
    assert follower.take() == 1
    follower._connection.close()
    assert everything(leader.take) == [2, 3]
    with pytest.raises(WorkerError, match="Process 1 on n1 was lost .* the same command"):
        leader.end(timeout_s=20)


def test_a_follower_that_does_not_end_is_named(tmp_path: Path, leader: Leader) -> None:
    follower = join(tmp_path)
    leader.begin(b"what to do", [1, 2])
    assert next(follower.stages()) == b"what to do"
    with pytest.raises(WorkerError, match=r"Waited 0 s \(trainer.timeout_s\) for process 1 on n1"):
        leader.end(timeout_s=0)


def test_a_leader_that_fails_stops_its_followers_at_their_next_unit(tmp_path: Path, leader: Leader) -> None:
    follower = join(tmp_path)
    leader.begin(b"what to do", [1, 2, 3])
    next(follower.stages())
    assert follower.take() == 1
    follower.check_stop()
    leader.stop()
    with pytest.raises(StoppedError):
        while True:
            follower.check_stop()
            time.sleep(0.001)
    follower.ended(None)
    leader.wait_until_idle(timeout_s=20)


def test_a_follower_notices_that_the_leader_is_gone(tmp_path: Path, leader: Leader) -> None:
    follower = join(tmp_path)
    leader.begin(b"what to do", [1, 2])
    next(follower.stages())
    with socket.socket(fileno=os.dup(leader._members[1].connection.fileno())) as other:
        other.shutdown(socket.SHUT_RDWR)
    with pytest.raises(WorkerError, match="Process 0 is gone, so process 1 on n1 stops"):
        follower.take()


def test_followers_are_sent_home_when_all_is_done(tmp_path: Path, leader: Leader) -> None:
    follower = join(tmp_path)
    leader.disband()
    assert list(follower.stages()) == []
    assert not meeting_file(tmp_path, place(0)).exists()


def test_a_leader_that_never_shows_itself_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    with pytest.raises(
        WorkerError, match="Process 1 on n1 waited 0 s .* for process 0, which shows itself in"
    ):
        join_leader(tmp_path, place(1), timeout_s=0.01)


def test_only_the_user_can_read_the_key_and_nobody_joins_without_it(tmp_path: Path, leader: Leader) -> None:
    path = meeting_file(tmp_path, place(0))
    assert path.stat().st_mode & 0o077 == 0
    content = path.read_text()
    path.write_text(json.dumps({**json.loads(content), "key": "00" * 32}))
    with pytest.raises(WorkerError):
        join_leader(tmp_path, place(1), timeout_s=0.5)
    path.write_text(content)
    join(tmp_path)


def test_strangers_who_say_nothing_keep_nobody_out(tmp_path: Path, leader: Leader) -> None:
    idle = [socket.create_connection(leader._listener.address) for _ in range(20)]
    started = time.monotonic()
    follower = join(tmp_path)
    leader.begin(b"what to do", [1])
    assert time.monotonic() - started < 5
    assert everything(leader.take) == [1] and leader.end(timeout_s=5) == {0: 1}
    follower._connection.close()
    for stranger in idle:
        stranger.close()


def test_a_stranger_who_says_nothing_is_sent_away(leader: Leader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imagenetd.stages.workers.team.meeting.CONNECT_TIMEOUT_S", 0.2)
    with socket.create_connection(leader._listener.address, timeout=10) as stranger:
        while stranger.recv(4096):  # the challenge, then the end
            pass


def test_a_leader_that_says_nothing_at_all_does_not_hold_a_follower(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imagenetd.stages.workers.team.meeting.CONNECT_TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        publish(meeting_file(tmp_path, place(1)), Meeting(("127.0.0.1",), deaf.getsockname()[1], b"k" * 32))
        with pytest.raises(WorkerError, match=r"waited 1 s \(trainer.join_timeout_s\) for process 0"):
            join_leader(tmp_path, place(1), timeout_s=1)


def test_a_leader_that_falls_silent_ends_the_wait_with_a_line(
    tmp_path: Path, leader: Leader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imagenetd.stages.workers.team.follower.SILENCE_S", 0.3)
    follower = join(tmp_path)
    with pytest.raises(WorkerError, match="waited 0 s for a word of process 0"):
        next(follower.stages())


def test_a_leader_that_has_nothing_to_say_is_known_to_live(
    tmp_path: Path, leader: Leader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imagenetd.stages.workers.team.leader.ALIVE_S", 0.1)
    monkeypatch.setattr("imagenetd.stages.workers.team.follower.SILENCE_S", 2.0)
    follower = join(tmp_path)
    in_background(lambda: (time.sleep(3), leader.begin(b"what to do", [1, 2])))
    assert next(follower.stages()) == b"what to do"
    assert follower.take() == 1
    follower.check_stop()
    follower.ended(None)


@pytest.mark.parametrize("mode", [0o644, 0o660, 0o602])
def test_a_meeting_file_that_others_could_write_or_read_is_refused(mode: int, tmp_path: Path) -> None:
    path = meeting_file(tmp_path, place(1))
    publish(path, Meeting(("127.0.0.1",), 1, b"k" * 32))
    path.chmod(mode)
    with pytest.raises(WorkerError, match=f"with mode {mode:o}, but must be a file of user"):
        read_meeting(path)


def test_a_meeting_file_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = meeting_file(tmp_path, place(1))
    publish(path, Meeting(("127.0.0.1",), 1, b"k" * 32))
    owner = os.geteuid()
    monkeypatch.setattr("os.geteuid", lambda: owner + 1)
    with pytest.raises(WorkerError, match=f"was written by user {owner}"):
        read_meeting(path)


def test_a_folder_of_meetings_that_others_can_write_is_refused_by_both_sides(tmp_path: Path) -> None:
    path = meeting_file(tmp_path, place(1))
    publish(path, Meeting(("127.0.0.1",), 1, b"k" * 32))
    path.parent.chmod(0o777)
    for refused in (lambda: read_meeting(path), lambda: publish(path, Meeting((), 1, b""))):
        with pytest.raises(WorkerError, match="others could write into it"):
            refused()


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"hosts": 3, "port": 1, "key": ""}', '{"hosts": [], "port": "x"}']
)
def test_a_damaged_meeting_file_is_one_line(content: str, tmp_path: Path) -> None:
    path = meeting_file(tmp_path, place(1))
    publish(path, Meeting(("127.0.0.1",), 1, b"k" * 32))
    path.write_text(content)
    with pytest.raises(WorkerError, match="is damaged"):
        read_meeting(path)


def test_a_link_in_the_place_of_the_meeting_file_is_not_followed(tmp_path: Path) -> None:
    path = meeting_file(tmp_path, place(1))
    publish(path, Meeting(("127.0.0.1",), 1, b"k" * 32))
    path.rename(tmp_path / "elsewhere.json")
    path.symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(WorkerError, match="cannot be read"):
        read_meeting(path)


def test_a_launch_on_one_machine_listens_on_loopback_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_NNODES", "1")
    made = Leader(place(0), tmp_path, join_timeout_s=1)
    assert made._listener.address[0] == "127.0.0.1"
    made.disband(waits=False)
    assert not is_one_machine({"SLURM_NNODES": "2"}) and not is_one_machine({})
    assert is_one_machine({"LOCAL_WORLD_SIZE": "4", "WORLD_SIZE": "4"})
