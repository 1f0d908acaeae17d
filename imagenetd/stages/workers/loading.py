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
from torch.utils.data import DataLoader, Dataset, get_worker_info

from imagenetd.errors import UserError, WorkerError
from imagenetd.images.decode import UndecodableError
from imagenetd.images.pool import Pool, PoolShards

Transform = Callable[[Image.Image], Tensor]
Sent = Any
"""A tensor, an array, or a list of either, as a worker hands it over."""


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

    def __init__(self, pool: Pool | PoolShards, transforms: Mapping[int, Mapping[str, Transform]]) -> None:
        self.pool, self.transforms = pool, transforms
        self._shard: tuple[int, Pool] | None = None

    def __getitem__(self, chunk: Chunk) -> Batch:
        started = time.perf_counter()
        batch = Batch(chunk)
        try:
            self._fill(batch)
        except UserError as error:
            batch.error = error
        except MemoryError:
            batch.error = WorkerError(
                f"There was no memory left to read the images {chunk.first} to {chunk.stop - 1}. Use fewer processes "
                "with trainer.num_workers=0 and trainer.devices=1, or refuse huge images with data.max_pixels. What is "
                "finished is kept: the same command goes on from here."
            )
        if get_worker_info() is not None:
            batch.inputs = {key: _to_be_sent(tensors) for key, tensors in batch.inputs.items()}
        batch.seconds = time.perf_counter() - started
        return batch

    def _images(self, shard: int) -> Pool:
        """Return the images of a shard; the last one is kept."""
        if self._shard is None or self._shard[0] != shard:
            self._shard = (shard, self.pool.shard(shard))
        return self._shard[1]

    def _fill(self, batch: Batch) -> None:
        images = self._images(batch.chunk.shard)
        transforms = self.transforms[batch.chunk.shard]
        tensors: dict[str, list[Tensor]] = {key: [] for key in transforms}
        for index in batch.chunk.indices:
            try:
                image = images.read_image(index)
            except UndecodableError as error:
                batch.unreadable[index] = str(error)
                continue
            for key, transform in transforms.items():
                tensors[key].append(transform(image))
        batch.inputs = {key: _stacked(found) for key, found in tensors.items() if found}


def _stacked(images: list[Tensor]) -> Tensor | list[Tensor]:
    """Return one tensor; a list for models that take every image in its own size."""
    return torch.stack(images) if len({image.shape for image in images}) == 1 else images


def _to_be_sent(images: Sent) -> Sent:
    """Return tensors in shared memory, or as arrays where there is none left.

    Torch would share them in a thread of its own, which loses a batch when that fails: the run would wait for ever.
    Images of different sizes are always sent as arrays, for each would need a file handle of its own.
    """
    if isinstance(images, list):
        return [image.numpy() if isinstance(image, Tensor) else image for image in images]
    try:
        return images.share_memory_() if isinstance(images, Tensor) else images
    except RuntimeError:  # /dev/shm is full, as in a container with 64 MB of it
        return images.numpy()


def _received(images: Sent) -> Tensor | list[Tensor]:
    """Return what a worker sent, as tensors."""
    if isinstance(images, list):
        return [image if isinstance(image, Tensor) else torch.from_numpy(image) for image in images]
    return images if isinstance(images, Tensor) else torch.from_numpy(images)


def received(batch: Batch) -> Batch:
    """Return a batch with tensors alone, whichever way its worker sent them."""
    batch.inputs = {key: _received(images) for key, images in batch.inputs.items()}
    return batch


def image_loader(
    pool: Pool | PoolShards,
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
