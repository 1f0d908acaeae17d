"""What `stages=[prompts]` says about cost, with small numbers checked by hand."""

from pathlib import Path

from imagenetd.config.schema import StageName
from imagenetd.images.pool import make_layout
from imagenetd.stages.estimate import Means, Speed, cost_lines, known_speed
from tests.test_pipeline import config, run

POOLS = {
    "0123456789abcdef": {"num_images": 100, "num_bytes": 50_000, "seconds": 25.0},
    "fedcba9876543210": {"num_images": 10, "num_bytes": 10, "seconds": 1.0},
}


def test_the_largest_pool_of_a_generator_tells_its_speed_and_size() -> None:
    assert known_speed(POOLS, images_per_s=None, num_pixels=1) == Speed(0.25, 500.0, "pool 01234567")


def test_the_option_beats_a_pool_and_without_either_nothing_is_known() -> None:
    assert known_speed(POOLS, images_per_s=2.0, num_pixels=1).seconds_per_image == 0.5
    assert known_speed({}, images_per_s=None, num_pixels=100) == Speed(
        None, 210.0, "no pool of this generator yet"
    )


def means(num_images: int, *, num_processes: int, free_bytes: int, usd: float | None = None) -> Means:
    layout = make_layout(num_images, unit_size=16, max_images_per_shard=512)
    return Means(layout=layout, num_processes=num_processes, free_bytes=free_bytes, usd_per_hour=usd)


def test_the_cost_is_told_in_images_shards_hours_money_and_bytes() -> None:
    lines = cost_lines(
        {"background": 30_000, "neutral": 6_000},
        Speed(2.0, 1e6, "pool x"),
        means(36_000, num_processes=8, free_bytes=10**12, usd=2.5),
        examples=["a photo"],
    )
    assert lines == [
        "  images   36,000 = 30,000 background + 6,000 neutral",
        "  e.g.     a photo",
        "  shards   71 of 512 images: as many files in each folder, and 142 writes (one tar, one part), "
        "71 more for each model",
        "  time     20 GPU-hours at 0.5 images/s (pool x): 2.5 hours with 8 processes",
        "  money    50 USD at 20.00 USD an hour for all processes (trainer.usd_per_hour)",
        "  disk     about 36 GB (1 MB an image); 1 TB free",
    ]


def test_a_disk_that_is_too_small_is_told() -> None:
    (*_, disk) = cost_lines(
        {"texture": 10}, Speed(None, 1e6, "nothing"), means(10, num_processes=1, free_bytes=10), examples=[]
    )
    assert "NOT ENOUGH" in disk


def test_prompts_alone_print_what_the_images_will_cost(tmp_path: Path) -> None:
    (first,) = run(config(tmp_path, stages=[StageName.prompts])).results
    assert [line.split()[0] for line in first.details] == [
        "images",
        "e.g.",
        "e.g.",
        "e.g.",
        "shards",
        "time",
        "disk",
    ]
    assert "unknown" in first.details[-2]
    run(config(tmp_path, stages=[StageName.prompts, StageName.generate]))
    (second,) = run(config(tmp_path, stages=[StageName.prompts])).results
    assert second.is_skipped and "GPU-hours at" in second.details[-2] and "(pool " in second.details[-2]
