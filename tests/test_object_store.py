"""An output folder in an object store: the bytes of a folder, from any machine, and one line for each refusal."""

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imagenetd.config.schema import Config, StageName
from imagenetd.errors import ConfigError, StoreError
from imagenetd.images.shards import shard_name
from imagenetd.stages.choices import check_choices
from imagenetd.store import locks, object_store, remote, remote_locks
from imagenetd.store.files import size_of
from imagenetd.store.folders import StageFolder, write_text_atomic
from imagenetd.store.object_store import ObjectStore
from tests.s3_server import BUCKET, CREDENTIALS, SECRET, Proxy, places_of, serving
from tests.test_crash import results
from tests.test_pipeline import config, run

# of the libraries that stand between a test and its store
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with serving() as port:
        yield port


@pytest.fixture
def url(
    port: int, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[str]:
    """A prefix of its own, and the environment in which it is reached."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    monkeypatch.setattr(remote, "_mirrors", {})
    yield f"s3://{BUCKET}/{tmp_path.name}"


def drawn(output_dir: object, *overrides: str) -> Config:
    """72 images in 5 shards."""
    made = config(Path("x"), *overrides)
    made.paths.output_dir = str(output_dir)
    made.stages = [StageName.prompts, StageName.generate]
    return made


def mirror_at(url: str, folder: Path) -> remote.Mirror:
    """Return another machine's copy of a store."""
    root = remote.local_folder(url, str(folder))
    found = remote.mirror_of(root)
    assert found is not None
    return found


def put(mirror: remote.Mirror, name: str, text: str) -> Path:
    path = mirror.root / name
    write_text_atomic(path, text)
    mirror.push([path])
    return path


def test_images_in_a_store_are_those_of_a_folder_and_another_machine_makes_none_again(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(drawn(tmp_path / "plain"))
    first = drawn(url, f"paths.cache_dir={tmp_path / 'first'}")
    run(first)
    assert results(first.paths.folder()) == results(tmp_path / "plain")
    second = drawn(url, f"paths.cache_dir={tmp_path / 'second'}")
    monkeypatch.setattr("imagenetd.images.writer.PoolWriter.add", None)  # to make an image would fail
    outcome = run(second)
    assert [result.is_skipped for result in outcome.results] == [True, True]
    assert not list(tmp_path.glob("second/**/*.tar"))  # nothing has read one
    (shard, *_) = sorted(first.paths.folder().rglob("*.tar"))
    elsewhere = second.paths.folder() / shard.relative_to(first.paths.folder())
    assert size_of(elsewhere) == shard.stat().st_size
    remote.fetch(elsewhere)
    assert elsewhere.read_bytes() == shard.read_bytes()
    assert places_of(SECRET, tmp_path) == []


def test_a_shard_whose_part_was_not_sent_is_read_back_and_not_made_again(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = drawn(url, f"paths.cache_dir={tmp_path / 'first'}")
    run(first)
    straight = results(first.paths.folder())
    (pool,) = first.paths.folder().glob("pools/*")
    for path in (pool / "stage.json", pool / "manifest" / "part-000003.parquet"):
        remote.forget(path)
    second = drawn(url, f"paths.cache_dir={tmp_path / 'second'}")
    monkeypatch.setattr("imagenetd.images.writer.PoolWriter.add", None)
    run(second)
    remote.fetch(second.paths.folder() / "pools" / pool.name / "shards" / shard_name(0))
    assert set(results(second.paths.folder())) <= set(straight)
    for name, content in results(second.paths.folder()).items():
        assert content == straight[name]


def test_what_the_copy_has_otherwise_than_the_store_is_got_anew(url: str, tmp_path: Path) -> None:
    mirror = mirror_at(url, tmp_path)
    path = put(mirror, "mined/k/failures.csv", "right")
    path.write_text("wrong")  # of the same size
    with StageFolder(path.parent, "mine", "k").locked():
        assert path.read_text() == "right"


def test_a_record_that_the_store_does_not_have_is_forgotten_and_its_files_are_sent(
    url: str, tmp_path: Path
) -> None:
    mirror = mirror_at(url, tmp_path)
    folder = StageFolder(mirror.root / "mined/k", "mine", "k")
    folder.path.mkdir(parents=True)
    write_text_atomic(folder.path / "failures.csv", "kept")
    with folder.locked():
        folder.finish({"num_mined": 7}, ["failures.csv"])
    remote.forget(folder.path / "failures.csv")
    write_text_atomic(folder.path / "failures.csv", "kept")
    mirror.store.remove("mined/k/stage.json")
    with folder.locked():
        assert folder.done() is None
    assert mirror.store.read("mined/k/failures.csv") == b"kept"


def test_shards_above_the_limit_go_the_least_recently_used_first_and_never_one_that_was_not_sent(
    url: str, tmp_path: Path
) -> None:
    mirror = mirror_at(url, tmp_path)
    paths = [put(mirror, f"pools/k/shards/{shard_name(number)}", "x" * 1000) for number in range(4)]
    only_here = mirror.root / "pools/k/shards" / shard_name(9)
    write_text_atomic(only_here, "y" * 1000)
    for age, path in enumerate([only_here, paths[1], paths[0], paths[2], paths[3]]):
        os.utime(path, (1000 + age, 1000 + age))
    mirror.cache_bytes = 3000
    put(mirror, f"pools/k/shards/{shard_name(5)}", "z" * 10)
    kept = sorted(path.name for path in only_here.parent.iterdir())
    assert kept == [shard_name(number) for number in (3, 5, 9)]
    remote.fetch(paths[0])
    assert paths[0].read_text() == "x" * 1000


def test_a_second_run_waits_for_the_folder_that_the_first_holds(url: str, tmp_path: Path) -> None:
    here, there = mirror_at(url, tmp_path / "a"), mirror_at(url, tmp_path / "b")
    with here.exclusive(here.root / "pools/k", max_wait_s=0):
        with (
            pytest.raises(StoreError, match=rf"pools/k is held by another run \(process {os.getpid()} on"),
            there.exclusive(there.root / "pools/k", max_wait_s=0),
        ):
            pass
        with there.exclusive(there.root / "pools/other", max_wait_s=0):
            pass
    with there.exclusive(there.root / "pools/k", max_wait_s=0):
        pass


def test_a_run_that_does_not_renew_its_lock_loses_it_and_writes_nothing_more(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_locks, "POLL_S", 0.02)
    monkeypatch.setattr(remote_locks, "RENEW_S", 1.0)
    monkeypatch.setattr(remote_locks, "EXPIRY_S", 0.2)
    here, there = mirror_at(url, tmp_path / "a"), mirror_at(url, tmp_path / "b")
    path = here.root / "pools/k/part.parquet"
    with here.exclusive(here.root / "pools/k", max_wait_s=0):
        write_text_atomic(path, "late")
        with there.exclusive(there.root / "pools/k", max_wait_s=5):
            deadline = time.monotonic() + 10
            while not here._locks["pools/k"].is_lost and time.monotonic() < deadline:
                time.sleep(0.02)
            with pytest.raises(StoreError, match="Another run has taken over"):
                here.push([path])
    assert here.store.read("pools/k/part.parquet") == b""


def test_an_object_is_created_once_also_when_the_answer_was_lost(url: str) -> None:
    store = ObjectStore(url)
    assert store.create("lock", b"mine")
    assert store.create("lock", b"mine")  # the same request, asked again
    assert not store.create("lock", b"yours")
    assert store.read("lock") == b"mine"


@pytest.mark.parametrize(("answer", "is_created"), [("409", False), ("501", True)])
def test_a_conditional_write_that_meets_another_is_lost_and_one_that_is_unknown_is_a_plain_one(
    port: int, url: str, monkeypatch: pytest.MonkeyPatch, answer: str, is_created: bool
) -> None:
    proxy, faults = Proxy(port), iter([answer])
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
    proxy.fault = lambda method, path: next(faults, "") if method == "PUT" else ""
    store = ObjectStore(url)
    assert store.create("lock", b"mine") is is_created
    assert store.read("lock") == (b"mine" if is_created else b"")
    proxy.close()


def test_a_store_without_conditional_writes_is_said_once(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def created(store: ObjectStore, name: str, data: bytes) -> bool:
        store.write(name, data)
        return True

    monkeypatch.setattr(ObjectStore, "create", created)
    mirror = mirror_at(url, tmp_path)
    mirror.check()
    mirror.check()
    assert capsys.readouterr().out == (
        f"{url} has no conditional writes: two runs cannot see each other there. Start one at a time.\n"
    )
    assert mirror.store.find("") == {}


@pytest.mark.parametrize(
    ("place", "told"),
    [
        (f"s3://user:{SECRET}@bucket/x", "with a user, a password or options"),
        (f"s3://bucket/x?token={SECRET}", "with a user, a password or options"),
        ("ftp://host/x", "begins with ftp://"),
        ("s3:///x", "names no bucket"),
        ("file://x/y", "three slashes"),
    ],
)
def test_a_url_that_cannot_be_used_is_one_line_without_a_secret(place: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told) as caught:
        check_choices(drawn(place))
    assert "\n" not in str(caught.value) and SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["paths.run_dir=runs/mine"], "paths.run_dir names a folder"),
        (["paths.run_dir='s3://bucket/run'"], "paths.run_dir is a URL"),
        (["export.folder.to='s3://bucket/out'"], "export.folder.to is a URL"),
        (["executor=slurm"], "Choose executor=local"),
        (["qc=form"], "qc=form asks people"),
    ],
)
def test_what_an_object_store_cannot_do_is_refused_before_any_work(overrides: list[str], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        check_choices(drawn("s3://bucket/x", *overrides))


def test_a_store_without_its_package_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(object_store.PACKAGES, "gs", ("no_such_package_of_ours", "gcs"))
    with pytest.raises(ConfigError, match=r"pip install imagenetd\[gcs\]"):
        ObjectStore("gs://bucket/x").find("")


def test_a_bucket_that_is_not_there_is_one_line(url: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"no such bucket.*\(NoSuchBucket\)"):
        mirror_at("s3://nobody-has-this/x", tmp_path).check()


def test_credentials_that_are_not_there_are_one_line(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(StoreError, match="no credentials were found") as caught:
        mirror_at(url, tmp_path).check()
    assert "\n" not in str(caught.value)


def test_a_store_that_refuses_is_one_line(
    port: int, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = Proxy(port)
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
    proxy.fault = lambda method, path: "403" if method == "PUT" else ""
    with pytest.raises(StoreError, match="may not do this"):
        mirror_at(url, tmp_path).check()
    proxy.close()


@pytest.mark.parametrize("fault", ["500", "503", "cut", "lost", "half"])
def test_a_fault_of_the_network_is_asked_again(
    port: int, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    proxy, faults = Proxy(port), iter([fault])
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
    store = ObjectStore(url)
    store.write("part", b"0" * 1000)
    method = "GET" if fault == "half" else "PUT"
    proxy.fault = lambda asked, path: next(faults, "") if asked == method else ""
    (tmp_path / "part").write_bytes(b"1" * 1000)
    store.put(tmp_path / "part", "part")
    assert store.get("part", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == b"1" * 1000
    assert next(faults, "none left") == "none left"
    proxy.close()


def test_a_file_url_is_a_plain_folder(tmp_path: Path) -> None:
    assert remote.place_of(f"file://{tmp_path}/my%20runs") == tmp_path / "my runs"
    assert remote.mirror_of(remote.local_folder(f"file://{tmp_path}")) is None


def test_a_file_system_that_says_nothing_about_a_lock_is_one_line_and_no_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forever = threading.Event()

    def hangs(*_: Any) -> None:
        forever.wait(60)

    monkeypatch.setattr(fcntl, "flock", hangs)
    monkeypatch.setattr(locks, "ANSWER_S", 0.05)
    with (
        pytest.raises(
            StoreError, match=r"Cannot lock .*: the file system has said nothing for 0\.05 s"
        ) as caught,
        StageFolder(tmp_path, "mine", "k").locked(),
    ):
        pass
    assert "\n" not in str(caught.value)
    forever.set()


def test_the_answer_about_a_lock_is_waited_for_less_than_half_a_minute() -> None:
    assert locks.ANSWER_S < 30
