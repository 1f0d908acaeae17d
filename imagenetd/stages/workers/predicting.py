"""The Lightning module that runs classifiers over a pool and writes their logits."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from lightning import LightningModule
from torch import Tensor
from torch.utils.data import DataLoader

from imagenetd.config.schema import TrainerConfig
from imagenetd.errors import ModelError
from imagenetd.images.pool import Pool, part_name
from imagenetd.models.classifier import Classifier
from imagenetd.models.interviewer import Interviewer
from imagenetd.models.precision import computed_with
from imagenetd.scoring.predictions import subject
from imagenetd.stages.workers.loading import Batch, Chunk, Transform, image_loader, received
from imagenetd.stages.workers.trainer import tasks_of
from imagenetd.store.folders import read_stage_file, write_record, write_table_atomic
from imagenetd.words.vocabulary import Category

CHUNK = 64
"""Images that are decoded at a time; a model's own batch size cuts them further."""
PROVENANCE_FILE = "provenance.json"


@dataclass(frozen=True)
class PendingModel:
    """A classifier and the shards that it has not seen."""

    name: str
    classifier: Classifier
    folder: Path
    shards: frozenset[int]
    key: str = ""
    """Of the predictions."""


class PredictModule(LightningModule):
    """Decodes every image once and shows it to every model that still lacks it.

    Args:
        pool: The images.
        models: Not loaded yet: each process loads its own.
        categories: The classes of zero-shot models.
        settings: How many processes prepare images, and whether the networks are compiled or laid out otherwise.
    """

    def __init__(
        self,
        pool: Pool,
        models: Sequence[PendingModel],
        categories: Sequence[Category],
        settings: TrainerConfig,
    ) -> None:
        super().__init__()
        self.channels_last, self.compiles = settings.channels_last, settings.compile
        self.pool, self.models, self.categories = pool, list(models), list(categories)
        self.num_workers = settings.num_workers
        self._logits: dict[str, list[np.ndarray]] = {model.name: [] for model in models}
        self._seconds: dict[str, float] = dict.fromkeys(self._logits, 0.0)
        self._unreadable: dict[int, str] = {}

    def setup(self, stage: str) -> None:
        """Read the weights of every model in this process."""
        for model in self.models:
            model.classifier.load(self.categories, self.trainer.strategy.root_device)
            speed_up(model.classifier, channels_last=self.channels_last, compiles=self.compiles)
        self._record()

    def on_predict_end(self) -> None:
        """Record once more what was computed with: a network may have fallen back to float32 as a whole."""
        self._record()

    def _record(self) -> None:
        """Write what was loaded, and every way in which its logits were computed: a resumed run may have another."""
        if not self.trainer.is_global_zero:
            return
        for model in self.models:
            path = model.folder / PROVENANCE_FILE
            device, precision = self.trainer.strategy.root_device, str(self.trainer.precision)
            now = computed_with(model.classifier, device, precision=precision)
            now |= {"channels_last": self.channels_last, "compiled": self.compiles}
            before = (read_stage_file(path) or {}).get("computed", [])
            computed = [*before, *([] if now in before else [now])]
            write_record(path, model.classifier.provenance() | {"computed": computed})

    def predict_dataloader(self) -> DataLoader[Batch]:
        """Return this process's chunks, shard by shard."""
        shards = sorted(frozenset[int]().union(*(model.shards for model in self.models)))
        transforms = {shard: self._transforms(shard) for shard in shards}
        chunks = self._chunks(tasks_of(self.trainer, shards))
        return image_loader(self.pool, chunks, transforms, num_workers=self.num_workers)

    def _transforms(self, shard: int) -> dict[str, Transform]:
        return {
            model.classifier.preprocessing_key(): model.classifier.transform
            for model in self.models
            if shard in model.shards
        }

    def _chunks(self, shards: Iterable[int]) -> Iterator[Chunk]:
        for shard in shards:
            images = self.pool.layout.images(shard)
            for first in range(images.start, images.stop, CHUNK):
                stop = min(first + CHUNK, images.stop)
                yield Chunk(shard, first, stop, stop == images.stop)

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Leave the tensors where they are; each model moves its own."""
        return batch

    def items_of(self, batch: Batch) -> int:
        """Return the number of images of a chunk, for the progress bar."""
        return len(batch.chunk.indices)

    @torch.inference_mode()
    def predict_step(self, batch: Batch, batch_idx: int) -> None:
        """Collect the logits of one chunk; write a part for each model at the end of a shard."""
        if batch.error is not None:
            raise batch.error
        chunk, batch = batch.chunk, received(batch)
        self._unreadable |= batch.unreadable
        for index, reason in batch.unreadable.items():
            self.pool.refuse_unreadable(index, reason)
        models = [model for model in self.models if chunk.shard in model.shards]
        for model in models:
            started = time.perf_counter()
            for images, rows in self._steps(model, batch):
                if isinstance(model.classifier, Interviewer):
                    logits = model.classifier.logits_of(images, rows)
                else:
                    logits = model.classifier.logits(images)
                self._logits[model.name].append(self._checked(model, logits))
            work = time.perf_counter() - started
            self._seconds[model.name] += work + batch.seconds / len(models)
        if chunk.is_last:
            self.pool.leave_out(chunk.shard, self._unreadable)
            for model in models:
                self._write(model, chunk.shard)
            self._unreadable = {}

    def _steps(self, model: PendingModel, batch: Batch) -> Iterator[tuple[Any, pd.DataFrame]]:
        """Yield the images of each step of a model on its device, and their rows of the pool's table."""
        images: Tensor | list[Tensor] | None = batch.inputs.get(model.classifier.preprocessing_key())
        if images is None:  # not one image of this chunk can be read
            return
        size, device = model.classifier.batch_size, self.trainer.strategy.root_device
        rows = self.pool.table.iloc[batch.readable]
        for first in range(0, len(images), size):
            part = images[first : first + size]
            yield part.to(device) if isinstance(part, Tensor) else part, rows.iloc[first : first + size]

    def _checked(self, model: PendingModel, logits: Tensor) -> np.ndarray:
        found = logits.float().cpu().numpy()
        width = model.classifier.label_space(self.categories).num_classes
        if found.shape[1] != width:
            raise ModelError(
                f"{model.name} gave {found.shape[1]} logits an image, but has {width} classes. "
                "Choose the weights of this head, or say with `classes` what the outputs are."
            )
        if not np.isfinite(found).all():
            raise ModelError(
                f"{model.name} gave logits that are not finite. Try trainer.precision=null or another checkpoint."
            )
        return found

    def _write(self, model: PendingModel, shard: int) -> None:
        width = model.classifier.label_space(self.categories).num_classes
        logits = np.concatenate([np.zeros((0, width), np.float32), *self._logits[model.name]])
        rows = self.pool.shard_rows(shard)
        rows = rows[~rows.index.isin(self._unreadable)]
        flat = pa.FixedSizeListArray.from_arrays(pa.array(logits.ravel(), pa.float32()), width)
        seconds = np.full(len(rows), self._seconds[model.name] / max(1, len(rows)))
        ids = pa.array(rows["image_id"].tolist(), pa.string())
        table = pa.table({"image_id": ids, "logits": flat, "seconds": seconds} | model.classifier.columns())
        of = subject(model.key, self.pool.key)
        write_table_atomic(model.folder / part_name(shard), table, of=of)
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
