"""Run folders at their limits: sizes by one byte, seals of short files, waits, and every branch of every refusal."""

import errno
import fcntl
import hashlib
import json
import math
import os
import socket
import struct
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from imagenetd.errors import DamagedError, StoreError
from imagenetd.store import files, folders, locks
from imagenetd.store.files import (
    make_folder,
    require_room,
    require_space,
    restrict_new_files,
    size_of,
    write_json_atomic,
    write_text_atomic,
)
from imagenetd.store.folders import (
    StageFolder,
    absent_files,
    file_seal,
    read_listed,
    read_sealed_bytes,
    read_sealed_record,
    read_stage_file,
    read_table,
    require_fields,
    write_record,
    write_sealed_bytes,
    write_table_atomic,
)
from imagenetd.store.hashes import content_key, content_key_of_rows, file_sha256, folder_sha256
from imagenetd.store.locks import lock
from imagenetd.store.numerals import counted, p_value, percent_interval, significant
from imagenetd.store.seals import (
    BrokenSealError,
    check_parquet,
    fast_hash,
    open_bytes,
    open_record,
    seal_bytes,
    seal_parquet,
    seal_record,
)

TABLE = pa.table({"a": [1, 2]})


def unsealed(path: Path, table: pa.Table = TABLE) -> None:
    pq.write_table(table, path)


# Hashes


def test_keys_are_the_first_16_digits_of_sha256_of_sorted_json() -> None:
    text = '{"a": "\\u00e9", "b": 2, "layout": 1}'
    assert content_key({"b": 2, "a": "é"}) == hashlib.sha256(text.encode()).hexdigest()[:16]


def test_a_key_of_rows_is_the_key_of_their_list() -> None:
    rows = [{"a": 1}, {"a": 2}]
    pieces = [json.dumps(rows[0]).encode(), b", ", json.dumps(rows[1]).encode()]
    assert content_key_of_rows({"x": 1, "z": 3}, pieces) == content_key({"x": 1, "z": 3, "rows": rows})


def test_a_file_is_hashed_whole_and_again_when_it_has_changed(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    data = bytes(range(256)) * 4096 * 2 + b"end"  # more than two blocks of 1 MiB
    path.write_bytes(data)
    assert file_sha256(path) == hashlib.sha256(data).hexdigest()
    path.write_bytes(b"other")
    assert file_sha256(path) == hashlib.sha256(b"other").hexdigest()


def test_a_folder_is_hashed_by_names_and_bytes_of_its_suffixes(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.py").write_text("1")
    (tmp_path / "y.txt").write_text("2")
    (tmp_path / "z.py").mkdir()
    one = hashlib.sha256(b"1").hexdigest()
    assert folder_sha256(tmp_path, suffixes=(".py",)) == content_key({"a/x.py": one})
    both = content_key({"a/x.py": one, "y.txt": hashlib.sha256(b"2").hexdigest()})
    assert folder_sha256(tmp_path, suffixes=(".py", ".txt")) == both


# Seals


def test_a_seal_is_the_hash_of_all_other_bytes_before_the_footer() -> None:
    data = b"PAR1" + b"columns" + b"footer" + struct.pack("<I", 6) + b"PAR1"
    sealed = seal_parquet(data)
    start = len(data) - 8 - 6
    assert sealed == data[:start] + b"imgd:xx1" + bytes.fromhex(fast_hash(data)) + data[start:]
    assert check_parquet(sealed) == fast_hash(data)
    assert len(fast_hash(b"a", b"b")) == 32 and fast_hash(b"a", b"b") == fast_hash(b"ab")


def test_the_shortest_parquet_file_has_12_bytes() -> None:
    shortest = b"PAR1" + struct.pack("<I", 0) + b"PAR1"
    assert check_parquet(seal_parquet(shortest)) == fast_hash(shortest)
    for wrong in (shortest[1:], b"PARX" + shortest[4:], shortest[:-1] + b"X"):
        with pytest.raises(BrokenSealError, match="does not begin and end as a Parquet file"):
            seal_parquet(wrong)
        with pytest.raises(BrokenSealError, match="does not begin and end as a Parquet file"):
            check_parquet(wrong)


def test_a_footer_may_leave_just_the_room_of_a_seal() -> None:
    footer = struct.pack("<I", 5) + b"PAR1"
    block = b"PAR1" + b"\0" * 20 + b"f" * 5  # 24 bytes before the footer, of which the first are the magic
    with pytest.raises(BrokenSealError, match="no checksum"):
        check_parquet(block + footer)
    with pytest.raises(BrokenSealError, match="footer is longer than the file"):
        check_parquet(block[:4] + block[5:] + footer)
    sealed = seal_parquet(b"PAR1" + b"f" * 5 + footer)
    with pytest.raises(BrokenSealError, match="no checksum"):
        check_parquet(sealed.replace(b"imgd:xx1", b"imgd:xx2"))


def test_nothing_can_be_sealed_and_opened() -> None:
    assert open_bytes(seal_bytes(b"")) == b"" and len(seal_bytes(b"")) == 24
    with pytest.raises(BrokenSealError, match="no checksum"):
        open_bytes(seal_bytes(b"")[1:])
    with pytest.raises(BrokenSealError, match="its bytes do not have the checksum"):
        open_bytes(b"x" + seal_bytes(b""))


def test_a_record_is_sealed_with_its_format_by_32_digits() -> None:
    stored = seal_record({"b": (1, 2), "a": "é"})
    text = '{"a": "\\u00e9", "b": [1, 2], "format": 1}'
    assert stored == {
        "b": [1, 2],
        "a": "é",
        "format": 1,
        "seal": hashlib.sha256(text.encode()).hexdigest()[:32],
    }
    assert open_record(stored) == {"b": [1, 2], "a": "é"}
    with pytest.raises(BrokenSealError, match="no checksum"):
        open_record({"format": 1})
    with pytest.raises(BrokenSealError, match="its fields do not have the checksum"):
        open_record(stored | {"format": 0})


# Tables


def test_a_table_must_be_about_what_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    write_table_atomic(path, TABLE.replace_schema_metadata({b"k": b"v"}), of="model m")
    assert read_table(path).equals(TABLE) and read_table(path, of="model m").schema.metadata[b"k"] == b"v"
    with pytest.raises(DamagedError, match=r"another model, pool or stage \(model m instead of model n\)"):
        read_table(path, of="model n")
    write_table_atomic(path, TABLE)
    assert read_table(path).schema.metadata is None and read_table(path, of="").equals(TABLE)
    with pytest.raises(DamagedError, match=r"\(not said instead of model m\)"):
        read_table(path, of="model m")


def test_a_table_without_a_seal_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    unsealed(path)
    with pytest.raises(
        DamagedError, match=r"t\.parquet is damaged \(it has no checksum\)\. Delete it and run"
    ):
        read_table(path)


def test_a_table_must_be_the_very_one_that_is_listed(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    write_table_atomic(path, TABLE)
    seal = file_seal(path)
    assert read_table(path, seal=seal).equals(TABLE)
    with pytest.raises(DamagedError, match="it is not the file that its stage has written"):
        read_table(path, seal="0" * 32)


def test_sealed_bytes_that_are_no_table_are_one_line(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    path.write_bytes(seal_parquet(b"PAR1" + b"nonsense" + struct.pack("<I", 4) + b"PAR1"))
    with pytest.raises(DamagedError, match=r"t\.parquet is damaged \(") as caught:
        read_table(path)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_a_table_has_page_checksums_for_other_readers(tmp_path: Path) -> None:
    write_table_atomic(tmp_path / "t.parquet", TABLE)
    found = pq.read_table(tmp_path / "t.parquet", page_checksum_verification=True)
    assert found.equals(TABLE)
    assert pq.ParquetFile(tmp_path / "t.parquet").metadata.row_group(0).column(0).compression == "ZSTD"


@pytest.mark.parametrize("size", [0, 7, 8, 11, 12, 31])
def test_a_file_too_short_for_a_seal_is_damaged(tmp_path: Path, size: int) -> None:
    (tmp_path / "t.parquet").write_bytes(bytes(size))
    with pytest.raises(DamagedError, match=r"t\.parquet is damaged \(it does not begin and end as"):
        file_seal(tmp_path / "t.parquet")


def test_the_seal_of_other_files_is_the_hash_of_their_bytes(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"abc")
    assert file_seal(tmp_path / "a.bin") == fast_hash(b"abc")
    unsealed(tmp_path / "a.parquet")
    with pytest.raises(DamagedError, match=r"a\.parquet is damaged \(it has no checksum\)"):
        file_seal(tmp_path / "a.parquet")


def test_a_cache_gives_back_its_bytes_and_knows_what_it_is_about(tmp_path: Path) -> None:
    path = tmp_path / "cache"
    for data in (b"features", b""):
        write_sealed_bytes(path, data, of="model m")
        assert read_sealed_bytes(path, of="model m") == data
        with pytest.raises(DamagedError, match="is not about model n"):
            read_sealed_bytes(path, of="model n")
    path.write_bytes(b"features")
    with pytest.raises(DamagedError, match=r"cache is damaged \(it has no checksum\)"):
        read_sealed_bytes(path, of="model m")


# Records


def test_a_record_comes_back_and_one_that_is_not_there_is_told(tmp_path: Path) -> None:
    path = tmp_path / "stage.json"
    assert read_stage_file(path) is None
    with pytest.raises(StoreError, match=r"is missing\. Run the stage again that writes it"):
        read_sealed_record(path)
    write_record(path, {"key": "k"})
    assert read_sealed_record(path) == read_stage_file(path) == {"key": "k"}


@pytest.mark.parametrize(
    "content", ["[1]", "7", "null", "{", "[" * 100_000, '{"a": 1, "seal": "x"}', '{"a": 1}']
)
def test_what_is_no_record_is_one_line(tmp_path: Path, content: str) -> None:
    path = tmp_path / "stage.json"
    path.write_text(content)
    for read in (read_stage_file, read_sealed_record):
        with pytest.raises(
            DamagedError, match=r"stage\.json is damaged \(.* Delete it and run again"
        ) as caught:
            read(path)
        assert "\n" not in str(caught.value)


def test_a_file_in_the_place_of_a_folder_of_a_record_is_told(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(StoreError, match=r"runs is a file, not a folder\. Set paths\.output_dir to a folder"):
        read_stage_file(tmp_path / "runs" / "stage.json")


def test_fields_must_be_there_with_their_type(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    given = {"n": 3, "share": 0.5, "is_done": True, "nothing": None}
    require_fields(
        path, given, {"n": int, "share": (int, float), "is_done": bool, "nothing": (str, type(None))}
    )
    for fields, message in (
        ({"lost": int}, "lost is None, not int"),
        ({"lost": type(None)}, "lost is None, not NoneType"),
        ({"share": int}, "share is 0.5, not int"),
        ({"is_done": int}, "is_done is True, not int"),
        ({"is_done": (int, str)}, "is_done is True, not int or str"),
        ({"n": bool}, "n is 3, not bool"),
    ):
        with pytest.raises(DamagedError, match=message):
            require_fields(path, given, fields)
    write_record(path, given)
    with pytest.raises(DamagedError, match="share is 0.5, not str"):
        read_sealed_record(path, {"n": int, "share": str})
    with pytest.raises(DamagedError) as caught:
        require_fields(path, {"n": "x" * 99}, {"n": int})
    assert "x" * 39 in str(caught.value) and "x" * 40 not in str(caught.value)


# Stages


def finished(folder: Path) -> StageFolder:
    stage = StageFolder(folder, "mine", "k")
    write_table_atomic(folder / "t.parquet", TABLE)
    (folder / "note.txt").write_text("abc")
    (folder / "log.txt").write_text("log")
    stage.finish({"n": 1}, files=["t.parquet", "note.txt"], only_sizes=["log.txt"])
    return stage


DONE = {"stage": "mine", "key": "k", "n": 1}


def test_a_stage_is_done_while_its_files_have_their_sizes(tmp_path: Path) -> None:
    stage = finished(tmp_path)
    assert (stage.done(), stage.lost(), stage.sound()) == (DONE, [], (DONE, ""))
    listed = json.loads((tmp_path / "stage.json").read_text())["files"]
    assert listed["note.txt"] == [3, fast_hash(b"abc")] and listed["log.txt"] == [3, ""]
    for name in ("note.txt", "log.txt"):
        kept = (tmp_path / name).read_bytes()
        for changed in (b"ab", b"abcd"):
            (tmp_path / name).write_bytes(changed)
            assert (stage.done(), stage.lost()) == (None, [name])
            assert stage.sound() == (None, f"{name} was damaged or lost: made anew")
        (tmp_path / name).write_bytes(kept)
    assert stage.done() == DONE


def test_changed_bytes_are_seen_by_reading_through_and_only_where_there_is_a_seal(tmp_path: Path) -> None:
    stage = finished(tmp_path)
    (tmp_path / "log.txt").write_text("gol")
    assert stage.sound() == (DONE, "")
    (tmp_path / "note.txt").write_text("abd")
    assert stage.done() == DONE and stage.sound() == (None, "note.txt was damaged or lost: made anew")
    data = bytearray((tmp_path / "t.parquet").read_bytes())
    data[6] ^= 1
    (tmp_path / "t.parquet").write_bytes(bytes(data))
    assert stage.sound() == (None, "t.parquet and 1 more was damaged or lost: made anew")


def test_a_stage_that_never_was_says_nothing_and_a_record_without_a_seal_is_damage(tmp_path: Path) -> None:
    stage = StageFolder(tmp_path, "mine", "k")
    assert (stage.done(), stage.lost(), stage.sound()) == (None, [], (None, ""))
    (tmp_path / "stage.json").write_text('{"stage": "mine", "key": "k"}')
    for ask in (stage.done, stage.lost, stage.sound):
        with pytest.raises(DamagedError, match="it has no checksum"):
            ask()


def test_a_list_of_files_of_another_shape_is_damage(tmp_path: Path) -> None:
    write_record(tmp_path / "stage.json", {"stage": "mine", "key": "k", "files": {"a": 3}})
    with pytest.raises(DamagedError, match="its list of files is none"):
        StageFolder(tmp_path, "mine", "k").done()


def test_a_reopened_stage_keeps_its_parts(tmp_path: Path) -> None:
    stage = finished(tmp_path)
    for _ in range(2):
        stage.reopen()
        assert stage.done() is None and (tmp_path / "t.parquet").is_file()


def test_a_listed_table_is_the_one_that_the_stage_wrote(tmp_path: Path) -> None:
    finished(tmp_path)
    assert read_listed(tmp_path, "t.parquet").equals(TABLE)
    with pytest.raises(
        StoreError, match=r"stage\.json does not list u\.parquet\. Delete stage\.json beside it"
    ):
        read_listed(tmp_path, "u.parquet")
    write_table_atomic(tmp_path / "t.parquet", pa.table({"a": [1, 3]}))
    with pytest.raises(DamagedError, match="not the file that its stage has written"):
        read_listed(tmp_path, "t.parquet")


def test_absent_files_are_those_of_another_size(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12")
    assert absent_files(tmp_path, {"a": [2, ""], "b": [0, ""]}) == ["b"]
    assert absent_files(tmp_path, {"a": [1, ""]}) == absent_files(tmp_path, {"a": [3, ""]}) == ["a"]


# Files


def test_the_size_of_what_is_no_file_is_minus_one(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"123")
    assert size_of(tmp_path / "a") == 3
    assert size_of(tmp_path) == size_of(tmp_path / "b") == size_of(tmp_path / "a" / "b") == -1
    with pytest.raises(StoreError, match="name is too long"):
        size_of(tmp_path / ("x" * 300))


def test_space_is_enough_up_to_the_last_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Usage:
        free = 60 * 2**20 - 1  # a byte less, which is shown rounded

    monkeypatch.setattr(files.shutil, "disk_usage", lambda folder: Usage)
    require_space(tmp_path, 10 * 2**20 - 1)
    with pytest.raises(StoreError, match="has 60 MB free, but about 61 MB are needed"):
        require_space(tmp_path, 11 * 2**20)
    with pytest.raises(StoreError, match="60 MB are needed"):
        require_space(tmp_path, 10 * 2**20)


def test_room_for_notes_is_tried_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[tuple[str, int]] = []
    write = files.write_bytes_atomic
    monkeypatch.setattr(
        files,
        "write_bytes_atomic",
        lambda path, data: (tried.append((path.name, len(data))), write(path, data)),
    )
    require_room(tmp_path)
    assert tried == [(f".room-{os.getpid()}", 65_536)] and list(tmp_path.iterdir()) == []


def test_text_and_json_are_written_as_utf8_with_a_last_line_end(tmp_path: Path) -> None:
    write_text_atomic(tmp_path / "deep" / "a.txt", "é")
    assert (tmp_path / "deep" / "a.txt").read_bytes() == b"\xc3\xa9"
    write_json_atomic(tmp_path / "a.json", {"é": [1]})
    assert (tmp_path / "a.json").read_text() == '{\n "é": [\n  1\n ]\n}\n'


def test_a_folder_that_cannot_be_written_to_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert make_folder(tmp_path / "a" / "b") == tmp_path / "a" / "b"
    assert make_folder(tmp_path / "a" / "b").is_dir()
    asked: list[int] = []
    monkeypatch.setattr(files.os, "access", lambda folder, mode: bool(asked.append(mode)))
    with pytest.raises(StoreError, match="no permission to write there. Set x.y to"):
        make_folder(tmp_path / "a", option="x.y")
    assert asked == [os.W_OK]


def test_who_may_read_is_a_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    masks: list[int] = []
    monkeypatch.setattr(files.os, "umask", masks.append)
    for name in ("owner", "group", "umask"):
        restrict_new_files(name)
    assert masks == [0o077, 0o007]


# Locks


class Clock:
    """Time passes only by sleeping."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_who_waits_is_told_at_once_and_every_ten_minutes_until_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, told = Clock(), []
    monkeypatch.setattr(locks, "time", clock)
    monkeypatch.setattr(locks, "say", lambda line, style: told.append((line, clock.now)))
    path = tmp_path / ".lock"
    with lock(path, fcntl.LOCK_EX, max_wait_s=1):
        holder = path.read_text()
        assert holder == f"process {os.getpid()} on {socket.gethostname()}\n"
        with (
            pytest.raises(StoreError) as caught,
            lock(path, fcntl.LOCK_EX, max_wait_s=1500),
        ):
            pass
    assert str(caught.value) == (
        f"{tmp_path} is held by another process ({holder.strip()}), and 1500 s of waiting are over. "
        "End that process, or set paths.output_dir to another folder."
    )
    assert [line for line, _ in told] == [f"waiting: another run works in {tmp_path}"] * 3
    assert [round(at) for _, at in told] == [1000, 1600, 2200]
    assert 2500 < clock.now < 2501


def test_who_does_not_wait_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    with (
        lock(path, fcntl.LOCK_EX, max_wait_s=1),
        pytest.raises(
            StoreError, match=rf"Another run works in .* \(process {os.getpid()} on .*\)\. Wait until"
        ),
        lock(path, fcntl.LOCK_EX, max_wait_s=0),
    ):
        pass


def test_no_wait_is_over_at_its_last_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(locks, "time", clock)
    monkeypatch.setattr(locks, "POLL_S", 1.0)
    path = tmp_path / ".lock"
    with (
        lock(path, fcntl.LOCK_EX, max_wait_s=1),
        pytest.raises(StoreError, match="and 3 s of waiting are over"),
        lock(path, fcntl.LOCK_EX, max_wait_s=3),
    ):
        pass
    assert clock.now == 1004.0


def test_a_holder_without_a_name_is_said_so_and_a_long_name_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "time", Clock())
    path = tmp_path / ".workers"
    with lock(path, fcntl.LOCK_SH, max_wait_s=1):
        assert path.read_text() == ""  # many may work at once
        with lock(path, fcntl.LOCK_SH, max_wait_s=1):
            pass
        for text, shown in (("", "which has not said its name"), ("x" * 99, "x" * 80)):
            path.write_text(text)
            with (
                pytest.raises(StoreError, match=rf"another process \({shown}\), and 1 s"),
                lock(path, fcntl.LOCK_EX, max_wait_s=1),
            ):
                pass


def test_a_name_that_cannot_be_read_is_said_so(tmp_path: Path) -> None:
    assert locks._holder(tmp_path) == "whose name cannot be read"


def test_a_lock_that_the_system_refuses_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(stream: Any, kind: int) -> None:
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(locks.fcntl, "flock", refuses)
    with (
        pytest.raises(StoreError, match="this file system has no file locks"),
        lock(tmp_path / ".lock", fcntl.LOCK_EX, max_wait_s=9),
    ):
        pass


def test_a_lock_has_the_next_name_in_full(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    path.write_text("a much longer name of the process that held it before " * 4)
    with lock(path, fcntl.LOCK_EX, max_wait_s=1):
        assert path.read_text().count("\n") == 1 and path.read_text().startswith(f"process {os.getpid()} on ")


def test_waits_are_a_day_and_ten_minutes() -> None:
    assert (locks.MAX_WAIT_S, locks.WORKER_WAIT_S, locks.REMIND_S, locks.POLL_S) == (86_400, 600, 600, 0.2)
    assert StageFolder(Path("x"), "mine", "k").max_wait_s == 86_400
    assert folders.STAGE_FILE == "stage.json" and files.MIN_FREE_BYTES == 52_428_800


# Numerals


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (99.6, 2, "100"),
        (99.4, 2, "99"),
        (0.0999, 2, "0.1"),
        (0.0996, 3, "0.0996"),
        (1234.5, 2, "1,200"),
        (1234567.0, 3, "1,230,000"),
        (-8.35, 2, "-8.3"),
        (10.0, 3, "10"),
        (1.0, 1, "1"),
        (0.0, 2, "0"),
        (float("inf"), 2, "-"),
        (None, 2, "-"),
    ],
)
def test_a_number_has_its_significant_digits(value: float | None, digits: int, text: str) -> None:
    assert significant(value, digits) == text


def test_p_values_are_given_down_to_one_in_ten_thousand() -> None:
    assert [p_value(p) for p in (0.00009999, 0.0001, 0.05)] == ["p < 0.0001", "p = 0.0001", "p = 0.05"]


def test_an_interval_in_percent_has_a_width_a_sign_where_asked_and_no_end_that_is_unknown() -> None:
    assert percent_interval(0.09, 0.10, digits=1) == "[9.0, 10.0]"
    assert percent_interval(0.50001, 0.5004) == "[50, 50.04]"  # never [50, 50]
    assert percent_interval(0.5, 0.5) == "[50, 50]"  # no digit helps
    assert percent_interval(-0.073, 0.02, digits=1, signed=True) == "[-7.3, +2.0]"
    assert percent_interval(-0.073, 0.02, between=" to ") == "[-7 to 2]"
    for unknown in (math.nan, math.inf):
        assert percent_interval(unknown, 0.5) == percent_interval(0.5, unknown) == "[-]"


def test_one_is_singular_and_every_other_count_plural() -> None:
    assert [counted(number, "image") for number in (0, 1, 2, 1200)] == [
        "0 images",
        "1 image",
        "2 images",
        "1,200 images",
    ]
    assert counted(2, "category", "categories") == "2 categories"


def test_a_file_is_written_with_all_folders_above_it(tmp_path: Path) -> None:
    write_text_atomic(tmp_path / "a" / "b" / "c.txt", "text")
    assert (tmp_path / "a" / "b" / "c.txt").read_text() == "text"
