"""What a pool will cost, before a GPU-hour is spent on it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from imagenetd.images.pool import BYTES_PER_PIXEL, Layout
from imagenetd.store.numerals import significant


@dataclass(frozen=True, slots=True)
class Speed:
    """What is known about a generator."""

    seconds_per_image: float | None
    """Of one process; None: nothing is known."""
    bytes_per_image: float
    source: str
    """Where the numbers come from, in words."""


def known_speed(
    pools: Mapping[str, Mapping[str, float]], *, images_per_s: float | None, num_pixels: int
) -> Speed:
    """Return a generator's speed and the size of its images: from the option, else from its largest finished pool.

    Args:
        pools: Key -> `num_images`, `num_bytes` and `seconds` of the finished pools of the same generator.
        images_per_s: The option; None when it is not set.
        num_pixels: Of an image, for an estimate of its size.
    """
    size = BYTES_PER_PIXEL * num_pixels
    best = max(pools, key=lambda key: pools[key]["num_images"], default=None)
    if best is not None:
        size = pools[best]["num_bytes"] / pools[best]["num_images"]
    if images_per_s is not None:
        return Speed(1 / images_per_s, size, "generator.images_per_s")
    if best is None:
        return Speed(None, size, "no pool of this generator yet")
    return Speed(pools[best]["seconds"] / pools[best]["num_images"], size, f"pool {best[:8]}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What the images will be made with."""

    layout: Layout
    """Of the pool."""
    num_processes: int
    """Over which the work will be divided."""
    free_bytes: int
    """On the disk of the pool."""
    usd_per_hour: float | None = None
    """Of one process; None: not known."""


def cost_lines(
    counts: Mapping[str, int], speed: Speed, means: Means, *, examples: Sequence[str]
) -> list[str]:
    """Return what `stages=[prompts]` prints: counts, examples, shards, time, money, disk.

    Args:
        counts: Kind -> number of images.
        speed: Of the generator.
        means: What they will be made with.
        examples: A prompt of each kind.
    """
    num_images, num_processes, free_bytes = sum(counts.values()), means.num_processes, means.free_bytes
    num_shards, each = means.layout.num_shards, means.layout.images_per_shard
    kinds = " + ".join(f"{count:,} {kind}" for kind, count in counts.items())
    lines = [f"  images   {num_images:,} = {kinds}", *(f"  e.g.     {text}" for text in examples)]
    lines.append(
        f"  shards   {num_shards:,} of {min(each, num_images):,} images: as many files in each folder, and "
        f"{2 * num_shards:,} writes (one tar, one part), {num_shards:,} more for each model"
    )
    if speed.seconds_per_image is None:
        lines.append(
            f"  time     unknown: {speed.source}. Generate a few with num_images_per_cell=1 and fewer words, or set "
            "generator.images_per_s"
        )
    else:
        hours = num_images * speed.seconds_per_image / 3600
        plural = "process" if num_processes == 1 else "processes"
        lines.append(
            f"  time     {_number(hours)} GPU-hours at {significant(1 / speed.seconds_per_image, 3)} images/s "
            f"({speed.source}): {_clock(hours / num_processes)} with {num_processes} {plural}"
        )
        if means.usd_per_hour is not None:
            an_hour = means.usd_per_hour * num_processes
            lines.append(
                f"  money    {_number(hours * means.usd_per_hour)} USD at {an_hour:,.2f} USD an hour for all processes "
                "(trainer.usd_per_hour)"
            )
    needed = num_images * speed.bytes_per_image
    enough = "" if needed < free_bytes else ": NOT ENOUGH, set paths.output_dir to another disk"
    lines.append(
        f"  disk     about {_size(needed)} ({_size(speed.bytes_per_image)} an image); {_size(free_bytes)} free{enough}"
    )
    return lines


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else significant(value)


def _clock(hours: float) -> str:
    if hours >= 48:
        return f"{hours / 24:.1f} days"
    return f"{hours:.1f} hours" if hours >= 2 else f"{max(1, round(hours * 60))} min"


def _size(num_bytes: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if num_bytes < 1000:
            return f"{significant(num_bytes, 3)} {unit}"
        num_bytes /= 1000
    return f"{significant(num_bytes, 3)} TB"
