"""Run folders: keys, atomic writes, damage, locks."""

import errno
import multiprocessing
import os
from pathlib import Path

import pyarrow as pa
import pytest

from imagenetd.errors import StoreError
from imagenetd.store import folders as store
from imagenetd.store import locks
from imagenetd.store.folders import (
    StageFolder,
    content_key,
    read_table,
    write_bytes_atomic,
    write_table_atomic,
)


def test_a_key_ignores_the_order_of_names_and_changes_with_any_value() -> None:
    assert content_key({"a": 1, "b": 2}) == content_key({"b": 2, "a": 1})
    assert content_key({"a": 1, "b": 2}) != content_key({"a": 1, "b": 3})


def test_a_folder_without_its_stage_file_is_not_done(tmp_path: Path) -> None:
    assert StageFolder(tmp_path / "absent", "mine", "k1").done() is None


def test_a_finished_stage_gives_its_record_back(tmp_path: Path) -> None:
    folder = StageFolder(tmp_path, "mine", "k1")
    folder.finish({"num_mined": 7})
    assert folder.done() == {"stage": "mine", "key": "k1", "num_mined": 7}


def test_a_folder_of_another_config_is_refused_in_one_line(tmp_path: Path) -> None:
    StageFolder(tmp_path, "report", "k1").finish({})
    with pytest.raises(StoreError, match="key k1, but this config has key k2") as caught:
        StageFolder(tmp_path, "report", "k2").done()
    assert "\n" not in str(caught.value)


def test_a_damaged_stage_file_says_what_to_delete(tmp_path: Path) -> None:
    (tmp_path / "stage.json").write_text('{"key": "k1"')
    with pytest.raises(StoreError, match=r"stage\.json is damaged .* Delete it"):
        StageFolder(tmp_path, "mine", "k1").done()


def test_a_damaged_table_says_what_to_delete(tmp_path: Path) -> None:
    path = tmp_path / "part.parquet"
    write_table_atomic(path, pa.table({"a": [1, 2]}))
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(StoreError, match=r"part\.parquet is damaged .* Delete it"):
        read_table(path)


def test_a_missing_table_of_a_finished_stage_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is missing, though its stage is marked as done"):
        read_table(tmp_path / "part.parquet")


def test_a_write_that_fails_leaves_the_old_file_and_no_rubbish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "summary.json"
    write_bytes_atomic(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="the disk is full"):
        write_bytes_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["summary.json"]


def test_a_full_disk_is_told_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="MB free, but about"):
        store.require_space(tmp_path, 2**60)


@pytest.mark.parametrize(
    ("code", "words"),
    [(errno.EACCES, "no permission"), (errno.EROFS, "read-only"), (errno.ENOSPC, "disk is full")],
)
def test_each_refusal_of_the_system_has_its_words(tmp_path: Path, code: int, words: str) -> None:
    with pytest.raises(StoreError, match=words), store.explained(tmp_path):
        raise OSError(code, "refused")


def test_another_system_error_is_not_dressed_up(tmp_path: Path) -> None:
    with pytest.raises(InterruptedError), store.explained(tmp_path):
        raise OSError(errno.EINTR, "interrupted")


def test_a_file_in_the_place_of_the_output_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(StoreError, match="is a file, not a folder|a file stands"):
        store.make_folder(tmp_path / "runs" / "pools")


def _hold(
    folder: Path, held: "multiprocessing.synchronize.Event", release: "multiprocessing.synchronize.Event"
) -> None:
    with StageFolder(folder, "mine", "k").locked():
        held.set()
        release.wait(20)


def test_a_second_run_waits_for_the_first_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    context = multiprocessing.get_context("fork")
    held, release = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(tmp_path, held, release))
    other.start()
    assert held.wait(20)
    monkeypatch.setattr(locks, "say", lambda line, style: (told.append(line), release.set()))
    with StageFolder(tmp_path, "mine", "k").locked():
        assert told == [f"waiting: another run works in {tmp_path}"]
    other.join(20)
    assert other.exitcode == 0


def test_what_a_killed_writer_left_over_is_swept_up_by_the_next_start(tmp_path: Path) -> None:
    (tmp_path / "s0-1").mkdir()
    (tmp_path / "s0-1" / ".part-000004.parquet.28851.tmp").write_bytes(b"half")
    (tmp_path / "shard-000001.tar.0.tmp").write_bytes(b"whole units")
    with StageFolder(tmp_path, "predict", "k").locked():
        left = sorted(path.name for path in tmp_path.rglob("*.tmp"))
    assert left == ["shard-000001.tar.0.tmp"]
