"""File systems that do not keep their promises: one line that names folder and option, never a traceback or a hang."""

import errno
import fcntl
import json
import os
import stat
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from imagenetd.errors import StoreError
from imagenetd.images.shards import ShardWriter, members, read_member
from imagenetd.images.writer import read_times
from imagenetd.store import folders as store
from imagenetd.store import locks
from imagenetd.store.files import restrict_new_files
from imagenetd.store.folders import (
    StageFolder,
    file_sha256,
    make_folder,
    read_stage_file,
    read_table,
    write_bytes_atomic,
    write_table_atomic,
)
from imagenetd.store.locks import working_in
from imagenetd.store.seals import seal_record
from imagenetd.store.system_errors import explained_below

CODES = [
    *(errno.EIO, errno.ESTALE, errno.EINVAL, errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EBADF),
    *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EXDEV, errno.ENAMETOOLONG),
    *(errno.EMFILE, errno.EFBIG, errno.ENOENT, errno.ENODEV, errno.EBUSY, errno.ELOOP, errno.ENXIO),
]
NAMES = [errno.errorcode[code] for code in CODES]


def refuse(code: int) -> Any:
    def fails(*arguments: Any, **options: Any) -> Any:
        raise OSError(code, os.strerror(code))

    return fails


def one_line(caught: pytest.ExceptionInfo[StoreError], folder: Path) -> None:
    text = str(caught.value)
    assert "\n" not in text and str(folder) in text


def lock_it(folder: Path) -> None:
    with StageFolder(folder, "mine", "k").locked():
        pass


def work_in_it(folder: Path) -> None:
    with working_in(folder):
        pass


def append_to_shard(folder: Path) -> None:
    with ShardWriter(folder / "s.tar") as writer:
        writer.append([("a.png", b"png")])
        writer.finish()


def write_it(folder: Path) -> None:
    write_bytes_atomic(folder / "a.json", b"{}")


@pytest.mark.parametrize("code", CODES, ids=NAMES)
@pytest.mark.parametrize("act", [lock_it, work_in_it])
def test_a_lock_that_fails_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, act: Any
) -> None:
    monkeypatch.setattr(fcntl, "flock", refuse(code))
    with pytest.raises(StoreError, match="Cannot lock") as caught:
        act(tmp_path)
    one_line(caught, tmp_path)


@pytest.mark.parametrize("code", CODES, ids=NAMES)
@pytest.mark.parametrize("act", [write_it, append_to_shard])
def test_data_that_cannot_be_forced_to_the_disk_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, act: Any
) -> None:
    monkeypatch.setattr(os, "fsync", refuse(code))
    with pytest.raises(StoreError, match="Cannot write") as caught:
        act(tmp_path)
    one_line(caught, tmp_path)


@pytest.mark.parametrize("code", CODES, ids=NAMES)
@pytest.mark.parametrize("act", [write_it, append_to_shard])
def test_a_file_that_cannot_get_its_name_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, act: Any
) -> None:
    monkeypatch.setattr(os, "replace", refuse(code))
    with pytest.raises(StoreError, match="Cannot write") as caught:
        act(tmp_path)
    one_line(caught, tmp_path)


READERS = {
    "table": read_table,
    "record": read_stage_file,
    "shard": lambda path: list(members(path)),
    "image": lambda path: read_member(path, 0, 1, ""),
    "weights": file_sha256,
    "times": read_times,
}


@pytest.mark.parametrize(
    "code", [errno.EIO, errno.ESTALE, errno.EACCES, errno.EMFILE], ids=errno.errorcode.get
)
@pytest.mark.parametrize("reader", READERS)
def test_what_cannot_be_read_is_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reader: str, code: int
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"something")
    monkeypatch.setattr("builtins.open", refuse(code))
    monkeypatch.setattr("io.open", refuse(code))
    with pytest.raises(StoreError, match="Cannot read") as caught:
        READERS[reader](path)
    one_line(caught, path)
    assert "damaged" not in str(caught.value)


@pytest.mark.parametrize("name", [".lock", ".workers"])
def test_a_folder_in_the_place_of_a_lock_is_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(StoreError, match=r"Cannot lock .*: a folder stands where a file is needed"):
        lock_it(tmp_path)


def test_a_folder_in_the_place_of_a_result_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "t.parquet").mkdir()
    with pytest.raises(StoreError, match="a folder stands where a file is needed"):
        write_table_atomic(tmp_path / "t.parquet", pa.table({"a": [1]}))
    with pytest.raises(StoreError, match=r"Cannot read .*: a folder stands where a file is needed"):
        read_table(tmp_path / "t.parquet")


def test_a_name_that_is_too_long_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="the name is too long"):
        make_folder(tmp_path / ("x" * 300))
    with pytest.raises(StoreError, match="the name is too long"):
        write_bytes_atomic(tmp_path / ("x" * 255), b"")  # its temporary name is longer


def test_a_folder_that_has_gone_while_it_was_in_use_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="has gone"):
        work_in_it(tmp_path / "deleted")


def test_a_link_that_leads_round_in_a_circle_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "round").symlink_to(tmp_path / "round")
    with pytest.raises(StoreError, match=r"ELOOP|a file stands"):
        make_folder(tmp_path / "round" / "pools")


def test_the_option_that_names_the_folder_stands_in_the_line(tmp_path: Path) -> None:
    with (
        pytest.raises(StoreError, match=r"set hydra\.sweep\.dir to another disk"),
        store.explained(tmp_path, option="hydra.sweep.dir"),
    ):
        raise OSError(errno.EIO, "failed")


def test_an_error_of_the_work_under_a_lock_is_not_dressed_up_as_one_of_the_lock(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), StageFolder(tmp_path, "mine", "k").locked():
        raise FileNotFoundError(errno.ENOENT, "of the work itself", "weights")


def test_waiting_for_another_run_has_an_end_and_names_who_was_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(locks, "POLL_S", 0.01)
    waits = StageFolder(tmp_path, "mine", "k", max_wait_s=0.05)
    with (
        StageFolder(tmp_path, "mine", "k").locked(),
        pytest.raises(
            StoreError,
            match=rf"held by another process \(process {os.getpid()} on .*\), and 0 s of waiting are over",
        ),
    ):
        lock(waits)
    assert capsys.readouterr().out == f"waiting: another run works in {tmp_path}\n"


def lock(folder: StageFolder) -> None:
    with folder.locked():
        pass


def test_waiting_for_workers_of_a_killed_run_has_an_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "POLL_S", 0.01)
    waits = StageFolder(tmp_path, "mine", "k", max_wait_s=0.05)
    with working_in(tmp_path), pytest.raises(StoreError, match="is held by another process"):
        lock(waits)


def test_times_of_a_unit_that_are_damaged_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "s.tar.times"
    import json

    whole = json.dumps(seal_record({"first": 0, "stop": 2, "seconds_per_image": 1.5}))
    changed = json.dumps(seal_record({"first": 2, "stop": 4, "seconds_per_image": 2.5})).replace("2.5", "7.5")
    path.write_text(f"{whole}\n{changed}\n[1]\n{whole[:20]}")
    assert read_times(path) == {0: 1.5, 1: 1.5}


@pytest.mark.parametrize(
    ("readable_by", "folder_mode", "file_mode"),
    [("owner", 0o700, 0o600), ("group", 0o770, 0o660), ("umask", 0o755, 0o644)],
)
def test_new_files_are_for_those_whom_the_option_names(
    tmp_path: Path, readable_by: str, folder_mode: int, file_mode: int
) -> None:
    before = os.umask(0o022)
    try:
        restrict_new_files(readable_by)
        with StageFolder(tmp_path / "pool", "mine", "k").locked():
            write_bytes_atomic(tmp_path / "pool" / "votes.json", b"{}")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "pool").stat().st_mode) == folder_mode
    for name in ("votes.json", ".lock", ".workers"):
        assert stat.S_IMODE((tmp_path / "pool" / name).stat().st_mode) == file_mode


@pytest.mark.parametrize(
    "code", [errno.EIO, errno.ESTALE, errno.ENOSPC, errno.EACCES], ids=errno.errorcode.get
)
def test_what_the_system_refuses_anywhere_in_a_run_is_one_line(tmp_path: Path, code: int) -> None:
    path = tmp_path / "tables" / "a.csv"
    with pytest.raises(StoreError, match="Cannot use") as caught, explained_below(tmp_path):
        raise OSError(code, os.strerror(code), str(path))
    one_line(caught, path)


def test_a_file_elsewhere_is_not_taken_for_one_of_the_run(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), explained_below(tmp_path / "runs"):
        raise PermissionError(errno.EACCES, "denied", str(tmp_path / "weights"))


@pytest.mark.parametrize(
    "code", [errno.ETIMEDOUT, errno.EPIPE, errno.ECONNRESET, errno.EALREADY, errno.EINPROGRESS]
)
def test_a_lock_that_the_network_loses_is_one_line_and_no_wait(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refused)
    with pytest.raises(StoreError, match="Cannot lock"), working_in(tmp_path):
        pass


def test_a_pipe_in_the_place_of_a_file_is_told_and_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "stage.json"
    os.mkfifo(pipe)
    os.mkfifo(tmp_path / locks.WORKERS)
    for read in (store.read_table, store.read_stage_file, store.file_seal):
        with pytest.raises(StoreError, match="a named pipe stands where a file is needed"):
            read(pipe)
    with pytest.raises(StoreError, match="Cannot lock"), working_in(tmp_path):
        pass


@pytest.mark.parametrize("files", [[1], {"a": [3]}, {"a": ["3", "x"]}, {"a": 5}, "a", None])
def test_a_record_whose_list_of_files_is_none_is_one_line(files: Any, tmp_path: Path) -> None:
    record = seal_record({"stage": "mined", "key": "k", "files": files})
    (tmp_path / "stage.json").write_text(json.dumps(record))
    with pytest.raises(StoreError, match="its list of files is none"):
        store.StageFolder(tmp_path, "mined", "k").done()
