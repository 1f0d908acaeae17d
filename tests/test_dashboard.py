"""What is shown of a long stage: the same numbers in the terminal and in `progress.jsonl`."""

import json
import time
from pathlib import Path

import pytest

from imagenetd.images.pool import make_layout
from imagenetd.stages.workers import dashboard
from imagenetd.stages.workers.dashboard import Dashboard, Progressed, shares, speeds
from tests.test_crash import job
from tests.test_pipeline import run


def lines(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "progress.jsonl").read_text().splitlines()]


def test_speeds_cost_and_time_left_follow_from_what_was_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    board = Dashboard("generate", 1000, folder=tmp_path, usd_per_hour=36.0)
    for second, done in ((50, 100), (80, 400), (100, 600)):
        clock[0] = 100.0 + second
        board.show(done, shards=(done // 100, 2, 1), workers=(2, 1))
    board.close()
    last = lines(tmp_path)[-1]
    assert (last["images"], last["images_asked"], last["shards_done"]) == (600, 1000, 6)
    assert last["images_per_s"] == 6.0  # 600 in 100 s
    assert last["images_per_s_now"] == 10.0  # 500 in the 50 s since the last look that is at least 30 s old
    assert last["eta_s"] == 40.0
    assert last["usd"] == 2.0  # 2 workers for 100 s at 36 USD an hour
    assert (last["shards_in_flight"], last["shards_given_again"], last["workers_lost"]) == (2, 1, 1)


def test_the_terminal_says_the_same_in_words() -> None:
    said = Progressed(
        time=0, stage="generate", images=6, images_asked=9, images_per_s=1.5, images_per_s_now=2.25, eta_s=1.0,
        shards_done=3, shards_in_flight=2, shards_given_again=1, workers=2, workers_lost=1, usd=0.5, gpu_gib=3.0,
    )  # fmt: skip
    assert speeds(said) == "2.2/s now, 1.5/s in all, 0.50 USD, 3.0 GiB"
    assert shares(said) == "shards: 3 done, 2 in flight, 1 given again, 1 workers lost"


def test_a_run_of_two_processes_leaves_its_progress_beside_the_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dashboard, "LINE_EVERY_S", 0.2)
    made = job(tmp_path)
    made.trainer.devices, made.trainer.usd_per_hour = 2, 3.0
    run(made)
    (path,) = tmp_path.glob("pools/*/progress.jsonl")
    found = lines(path.parent)
    assert (found[-1]["images"], found[-1]["shards_done"], found[-1]["shards_in_flight"]) == (300, 15, 0)
    assert found[-1]["usd"] is not None and len(list(tmp_path.glob("predictions/*/progress.jsonl"))) == 1


@pytest.mark.parametrize(
    ("num_images", "num_shards"), [(960, 15), (61_811, 121), (10**7, 9_921), (10**8, 10_000)]
)
def test_no_folder_of_a_pool_holds_more_than_ten_thousand_files(num_images: int, num_shards: int) -> None:
    layout = make_layout(num_images, unit_size=16, max_images_per_shard=512)
    assert layout.num_shards == num_shards <= 10_000
    assert layout.images(num_shards - 1).stop == num_images
