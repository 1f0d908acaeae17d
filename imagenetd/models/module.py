"""The Lightning module that runs classifiers over a pool and writes their logits."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from lightning import LightningModule
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from imagenetd.distributed import tasks_of
from imagenetd.errors import ModelError
from imagenetd.models.classifier import Classifier
from imagenetd.pool import Pool, part_name
from imagenetd.store import write_table_atomic
from imagenetd.vocabulary import Category

CHUNK = 64
"""Images that are decoded at a time; a model's own batch size cuts them further."""


@dataclass(frozen=True)
class PendingModel:
    """A classifier and the shards that it has not seen."""

    name: str
    classifier: Classifier
    folder: Path
    shards: frozenset[int]


@dataclass(frozen=True)
class Chunk:
    """A run of images of one shard."""

    shard: int
    first: int
    stop: int
    is_last: bool


class _Chunks(Dataset[tuple[Chunk, list[Image.Image]]]):
    """Decodes the images of a chunk."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool

    def __getitem__(self, chunk: Chunk) -> tuple[Chunk, list[Image.Image]]:
        return chunk, [self.pool.read_image(index) for index in range(chunk.first, chunk.stop)]


class PredictModule(LightningModule):
    """Decodes every image once and shows it to every model that still lacks it.

    Args:
        pool: The images.
        models: Not loaded yet: each process loads its own.
        categories: The classes of zero-shot models.
        channels_last: Layout of the networks' convolutions.
        compiles: Compile the networks.
    """

    def __init__(
        self,
        pool: Pool,
        models: Sequence[PendingModel],
        categories: Sequence[Category],
        *,
        channels_last: bool = False,
        compiles: bool = False,
    ) -> None:
        super().__init__()
        self.channels_last, self.compiles = channels_last, compiles
        self.pool, self.models, self.categories = pool, list(models), list(categories)
        self._logits: dict[str, list[np.ndarray]] = {model.name: [] for model in models}
        self._seconds: dict[str, float] = dict.fromkeys(self._logits, 0.0)

    def setup(self, stage: str) -> None:
        """Read the weights of every model in this process."""
        for model in self.models:
            model.classifier.load(self.categories, self.trainer.strategy.root_device)
            speed_up(model.classifier, channels_last=self.channels_last, compiles=self.compiles)

    def predict_dataloader(self) -> DataLoader[tuple[Chunk, list[Image.Image]]]:
        """Return this process's chunks, shard by shard."""
        shards = sorted(frozenset[int]().union(*(model.shards for model in self.models)))
        mine = tasks_of(self.trainer, shards)
        return DataLoader(_Chunks(self.pool), batch_size=None, sampler=self._chunks(mine))  # type: ignore[arg-type]

    def _chunks(self, shards: Iterable[int]) -> Iterator[Chunk]:
        for shard in shards:
            images = self.pool.layout.images(shard)
            for first in range(images.start, images.stop, CHUNK):
                stop = min(first + CHUNK, images.stop)
                yield Chunk(shard, first, stop, stop == images.stop)

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Leave decoded images where they are; each model moves its own tensors."""
        return batch

    def items_of(self, batch: tuple[Chunk, list[Image.Image]]) -> int:
        """Return the number of images of a chunk, for the progress bar."""
        return len(batch[1])

    @torch.inference_mode()
    def predict_step(self, batch: tuple[Chunk, list[Image.Image]], batch_idx: int) -> None:
        """Collect the logits of one chunk; write a part for each model at the end of a shard."""
        chunk, images = batch
        for model in self.models:
            if chunk.shard not in model.shards:
                continue
            started = time.perf_counter()
            self._logits[model.name] += list(self._run(model, images))
            self._seconds[model.name] += time.perf_counter() - started
            if chunk.is_last:
                self._write(model, chunk.shard)

    def _run(self, model: PendingModel, images: Sequence[Image.Image]) -> Iterator[np.ndarray]:
        size = model.classifier.batch_size
        for first in range(0, len(images), size):
            batch = torch.stack([model.classifier.transform(image) for image in images[first : first + size]])
            logits = (
                model.classifier.logits(batch.to(self.trainer.strategy.root_device)).float().cpu().numpy()
            )
            if not np.isfinite(logits).all():
                raise ModelError(
                    f"{model.name} gave logits that are not finite. Try trainer.precision=null or another checkpoint."
                )
            yield logits

    def _write(self, model: PendingModel, shard: int) -> None:
        logits = np.concatenate(self._logits[model.name])
        rows = self.pool.shard_rows(shard)
        flat = pa.FixedSizeListArray.from_arrays(pa.array(logits.ravel(), pa.float32()), logits.shape[1])
        seconds = np.full(len(rows), self._seconds[model.name] / len(rows))
        table = pa.table(
            {"image_id": pa.array(rows["image_id"].tolist(), pa.string()), "logits": flat, "seconds": seconds}
        )
        write_table_atomic(model.folder / part_name(shard), table)
        self._logits[model.name], self._seconds[model.name] = [], 0.0


def speed_up(classifier: Classifier, *, channels_last: bool, compiles: bool) -> None:
    """Lay out and compile the loaded networks of a classifier; its answers change by no more than rounding."""
    for network in vars(classifier).values():
        if not isinstance(network, torch.nn.Module):
            continue
        if channels_last:
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if compiles:
            getattr(network, "visual", network).compile()  # a dual encoder sees images with its visual tower
