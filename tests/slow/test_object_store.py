"""Runs on an object store that are killed, or whose network breaks: the same bytes, one shard lost at most."""

import multiprocessing
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from imagenetd.config.schema import Config
from imagenetd.images.writer import PoolWriter, Unit
from imagenetd.store import remote, remote_locks
from tests.s3_server import BUCKET, CREDENTIALS, SECRET, Proxy, places_of, serving
from tests.test_crash import generation, job, results
from tests.test_pipeline import run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
IMAGES, IMAGES_PER_SHARD = 300, 20


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(remote, "_mirrors", {})
    monkeypatch.setattr(remote_locks, "RENEW_S", 0.5)
    monkeypatch.setattr(remote_locks, "EXPIRY_S", 5.0)
    with serving() as port:
        proxy = Proxy(port)
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        yield proxy
        proxy.close()


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that gets a letter for every image that is made, in any process."""
    path, add = tmp_path / "made", PoolWriter.add

    def counted(writer: PoolWriter, unit: Unit) -> None:
        with path.open("a") as stream:
            stream.write("x" * len(unit.rows))
        add(writer, unit)

    monkeypatch.setattr(PoolWriter, "add", counted)
    return path


def on_store(settings: Config, cache: Path) -> Config:
    """Let a job lie in the store, in a place of its test, with a copy on one machine."""
    settings.paths.output_dir, settings.paths.cache_dir = f"s3://{BUCKET}/{cache.parent.name}", str(cache)
    return settings


def test_a_run_killed_six_times_goes_on_from_other_machines_and_loses_one_shard_each_time(
    tmp_path: Path, proxy: Proxy, made: Path
) -> None:
    run(job(tmp_path / "plain"))
    made.unlink()
    moments, num_killed = random.Random(5), 0
    for attempt in range(6):
        settings = on_store(generation(Path("x")), tmp_path / f"machine-{attempt}")
        process = multiprocessing.get_context("fork").Process(target=run, args=(settings,))
        process.start()
        before, wanted = len(proxy.asked), moments.randrange(25, 60)
        while process.is_alive() and len(proxy.asked) < before + wanted:
            time.sleep(0.001)
        os.kill(process.pid or 0, signal.SIGKILL)
        process.join(60)
        num_killed += process.exitcode == -signal.SIGKILL
    last = on_store(job(Path("x")), tmp_path / "last")
    run(last)
    for tar in sorted((tmp_path / "plain").rglob("*.tar")):
        remote.fetch(last.paths.folder() / tar.relative_to(tmp_path / "plain"))
    assert num_killed >= 3
    assert results(last.paths.folder()) == results(tmp_path / "plain")
    assert IMAGES <= made.stat().st_size <= IMAGES + num_killed * IMAGES_PER_SHARD


@pytest.mark.parametrize("devices", [1, 2])
def test_faults_of_the_network_lose_nothing(tmp_path: Path, proxy: Proxy, made: Path, devices: int) -> None:
    run(job(tmp_path / "plain"))
    made.unlink()
    faults, asked, broken = random.Random(devices), 0, []

    def fault(method: str, path: str) -> str:
        nonlocal asked
        asked += 1
        if asked % 7:
            return ""
        kinds = ["500", "503", "slow", "cut", "lost"] + (["half"] if method == "GET" else [])
        broken.append(faults.choice(kinds))
        return broken[-1]

    proxy.fault = fault
    settings = on_store(job(Path("x")), tmp_path / "cache")
    settings.trainer.devices = devices
    run(settings)
    assert results(settings.paths.folder()) == results(tmp_path / "plain")
    assert made.stat().st_size == IMAGES
    assert {"500", "503", "slow", "cut", "lost"} <= set(broken)
    assert places_of(SECRET, tmp_path) == []
