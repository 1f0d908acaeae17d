"""Reading, decoding and preprocessing for several models at once, in the process itself or in workers."""

import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from imagenetd.decode import UndecodableError
from imagenetd.errors import UserError
from imagenetd.pool import Pool

Transform = Callable[[Image.Image], Tensor]


@dataclass(frozen=True)
class Chunk:
    """A run of images of one shard."""

    shard: int
    first: int
    stop: int
    is_last: bool

    @property
    def indices(self) -> range:
        """Positions of the images in the table."""
        return range(self.first, self.stop)


@dataclass
class Batch:
    """A chunk, ready for every model."""

    chunk: Chunk
    inputs: dict[str, Tensor | list[Tensor]] = field(default_factory=dict)
    """Preprocessing -> "images 3 h w" of the images that can be read, in order; a list where their sizes differ."""
    unreadable: dict[int, str] = field(default_factory=dict)
    """Index of an image without a picture -> the reason."""
    seconds: float = 0.0
    """Time of reading, decoding and preprocessing."""
    error: UserError | None = None
    """What went wrong; a worker hands it over, since its own traceback would hide it."""

    @property
    def readable(self) -> list[int]:
        """Indices of the images that can be read."""
        return [index for index in self.chunk.indices if index not in self.unreadable]


class _Chunks(Dataset[Batch]):
    """Each image is read and decoded once; models with the same preprocessing share its tensor."""

    def __init__(self, pool: Pool, transforms: Mapping[int, Mapping[str, Transform]]) -> None:
        self.pool, self.transforms = pool, transforms

    def __getitem__(self, chunk: Chunk) -> Batch:
        started = time.perf_counter()
        batch = Batch(chunk)
        try:
            self._fill(batch)
        except UserError as error:
            batch.error = error
        batch.seconds = time.perf_counter() - started
        return batch

    def _fill(self, batch: Batch) -> None:
        transforms = self.transforms[batch.chunk.shard]
        tensors: dict[str, list[Tensor]] = {key: [] for key in transforms}
        for index in batch.chunk.indices:
            try:
                image = self.pool.read_image(index)
            except UndecodableError as error:
                batch.unreadable[index] = str(error)
                continue
            for key, transform in transforms.items():
                tensors[key].append(transform(image))
        batch.inputs = {key: _stacked(images) for key, images in tensors.items() if images}


def _stacked(images: list[Tensor]) -> Tensor | list[Tensor]:
    """Return one tensor; a list for models that take every image in its own size."""
    return torch.stack(images) if len({image.shape for image in images}) == 1 else images


def image_loader(
    pool: Pool,
    chunks: Iterator[Chunk],
    transforms: Mapping[int, Mapping[str, Transform]],
    *,
    num_workers: int,
) -> DataLoader[Batch]:
    """Return a loader of chunks in their order.

    Args:
        pool: The images.
        chunks: What is read in one go; the same for any number of workers, so that results are, too. A worker takes
            two of them ahead.
        transforms: Shard -> preprocessing -> its function, for the models that lack this shard.
        num_workers: Processes beside this one; no more than there are shards and CPU cores.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = max(0, min(num_workers, len(transforms), cores))
    options: dict[str, Any] = {}
    if workers:
        # A forked worker shares the loaded preprocessing; a spawned one would have to pickle the models.
        can_fork = "fork" in multiprocessing.get_all_start_methods() and sys.platform != "darwin"
        options = {"multiprocessing_context": "fork" if can_fork else None, "prefetch_factor": 2}
    return DataLoader(
        _Chunks(pool, transforms),
        batch_size=None,
        sampler=chunks,  # type: ignore[arg-type]
        num_workers=workers,
        collate_fn=_as_it_is,
        **options,
    )


def _as_it_is(batch: Any) -> Any:
    return batch
