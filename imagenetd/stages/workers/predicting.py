"""Running classifiers over a pool and writing their logits: the work, and the Lightning module that does it."""

import json
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
from imagenetd.images.pool import Pool, PoolShards, missing_numbers, part_name
from imagenetd.models.classifier import Classifier
from imagenetd.models.interviewer import Interviewer
from imagenetd.models.precision import computed_with
from imagenetd.records import Record
from imagenetd.scoring.predictions import COMPUTED, subject
from imagenetd.stages.workers.board import Seat
from imagenetd.stages.workers.loading import Batch, Chunk, Transform, image_loader, received
from imagenetd.stages.workers.work import Work
from imagenetd.store import remote
from imagenetd.store.folders import write_table_atomic
from imagenetd.words.vocabulary import Category

CHUNK = 64
"""Images that are decoded at a time; a model's own batch size cuts them further."""


@dataclass(frozen=True)
class ShownModel:
    """A classifier and the folder of its logits."""

    name: str
    classifier: Classifier
    folder: Path
    key: str = ""
    """Of the predictions."""

    def lacks(self, shard: int) -> bool:
        """Tell whether there are no logits of a shard."""
        return not (self.folder / part_name(shard)).is_file()

    def missing(self, num_shards: int) -> list[int]:
        """Return the shards without logits; the folder is listed once."""
        return missing_numbers(self.folder, part_name, num_shards)


class PredictWork(Work):
    """The logits of several models over a pool: each image is decoded once and shown to every model that lacks it.

    Args:
        pool: The images.
        models: Not loaded yet: each process loads its own.
        categories: The classes of zero-shot models.
        trainer: How many processes prepare images, and whether the networks are compiled or laid out otherwise.
        facts: What another process needs to know to do the same.
    """

    stage = "predict"

    def __init__(
        self,
        pool: Pool | PoolShards,
        models: Sequence[ShownModel],
        categories: Sequence[Category],
        trainer: TrainerConfig,
        *,
        facts: Record,
    ) -> None:
        self.pool, self.models, self.categories = pool, list(models), list(categories)
        self.trainer, self.facts, self.precision = trainer, facts, trainer.precision
        self.folder = self.models[0].folder.parent
        self.loaded: set[str] = set()

    def order(self) -> Record:
        """Return which models are shown which images."""
        return {**self.facts, "models": [model.name for model in self.models], "pool": self.pool.key}

    def missing(self) -> list[int]:
        """Return the shards that some model has not seen."""
        num_shards = self.pool.layout.num_shards
        return sorted({shard for model in self.models for shard in model.missing(num_shards)})

    def is_missing(self, shard: int) -> bool:
        """Tell whether some model has not seen a shard."""
        return any(model.lacks(shard) for model in self.models)

    def num_items(self, shards: Iterable[int]) -> int:
        """Return how many images some shards hold."""
        return sum(len(self.pool.layout.images(shard)) for shard in shards)

    def module(self, shards: Iterable[int], seat: Seat) -> "PredictModule":
        """Return the module that shows some shards to the models that have not seen them."""
        return PredictModule(self, shards)


class PredictModule(LightningModule):
    """Decodes every image once and shows it to every model that still lacks it.

    Args:
        work: Images and models.
        shards: To be shown; asked for one at a time.
    """

    def __init__(self, work: PredictWork, shards: Iterable[int]) -> None:
        super().__init__()
        self.work, self.shards = work, shards
        self.pool, self.models = work.pool, work.models
        self._lacking: dict[int, list[ShownModel]] = {}
        self._logits: dict[str, list[np.ndarray]] = {model.name: [] for model in self.models}
        self._seconds: dict[str, float] = dict.fromkeys(self._logits, 0.0)
        self._unreadable: dict[int, str] = {}
        self._images: Pool | None = None
        """Of the shard in progress."""

    def setup(self, stage: str) -> None:
        """Read the weights of the models in this process, unless they are read."""
        settings = self.work.trainer
        for model in self.models:
            if model.name not in self.work.loaded:
                model.classifier.load(self.work.categories, self.trainer.strategy.root_device)
                speed_up(model.classifier, channels_last=settings.channels_last, compiles=settings.compile)
                self.work.loaded.add(model.name)
        lacking = {model.name: set(model.missing(self.pool.layout.num_shards)) for model in self.models}
        for shard in sorted(set[int]().union(*lacking.values())):
            self._lacking[shard] = [model for model in self.models if shard in lacking[model.name]]

    def _computed(self, model: ShownModel) -> bytes:
        """Return, as JSON, what was loaded and how its logits are computed; it stands in every part."""
        settings = self.work.trainer
        device, precision = self.trainer.strategy.root_device, str(self.trainer.precision)
        how = computed_with(model.classifier, device, precision=precision)
        how |= {"channels_last": settings.channels_last, "compiled": settings.compile}
        return json.dumps({"loaded": model.classifier.provenance(), "computed": how}, default=list).encode()

    def predict_dataloader(self) -> DataLoader[Batch]:
        """Return the chunks, shard by shard."""
        transforms = {shard: _transforms(models) for shard, models in self._lacking.items()}
        chunks = self._chunks(shard for shard in self.shards if shard in self._lacking)
        return image_loader(self.pool, chunks, transforms, num_workers=self.work.trainer.num_workers)

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
        if self._images is None or chunk.indices.start == self.pool.layout.images(chunk.shard).start:
            self._images = self.pool.shard(chunk.shard)
        self._unreadable |= batch.unreadable
        for index, reason in batch.unreadable.items():
            self._images.refuse_unreadable(index, reason)
        models = self._lacking[chunk.shard]
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
            self._images.leave_out(chunk.shard, self._unreadable)
            for model in models:
                self._write(model, chunk.shard)
            self._unreadable = {}

    def _steps(self, model: ShownModel, batch: Batch) -> Iterator[tuple[Any, pd.DataFrame]]:
        """Yield the images of each step of a model on its device, and their rows of the pool's table."""
        images: Tensor | list[Tensor] | None = batch.inputs.get(model.classifier.preprocessing_key())
        if images is None:  # not one image of this chunk can be read
            return
        size, device = model.classifier.batch_size, self.trainer.strategy.root_device
        assert self._images is not None
        rows = self._images.rows(batch.readable)
        for first in range(0, len(images), size):
            part = images[first : first + size]
            yield part.to(device) if isinstance(part, Tensor) else part, rows.iloc[first : first + size]

    def _checked(self, model: ShownModel, logits: Tensor) -> np.ndarray:
        found = logits.float().cpu().numpy()
        width = model.classifier.label_space(self.work.categories).num_classes
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

    def _write(self, model: ShownModel, shard: int) -> None:
        width = model.classifier.label_space(self.work.categories).num_classes
        logits = np.concatenate([np.zeros((0, width), np.float32), *self._logits[model.name]])
        assert self._images is not None
        indices = self.pool.layout.images(shard)
        rows = self._images.rows([index for index in indices if index not in self._unreadable])
        flat = pa.FixedSizeListArray.from_arrays(pa.array(logits.ravel(), pa.float32()), width)
        seconds = np.full(len(rows), self._seconds[model.name] / max(1, len(rows)))
        ids = pa.array(rows["image_id"].tolist(), pa.string())
        table = pa.table({"image_id": ids, "logits": flat, "seconds": seconds} | model.classifier.columns())
        table = table.replace_schema_metadata({COMPUTED: self._computed(model)})
        of = subject(model.key, self.pool.key)
        write_table_atomic(model.folder / part_name(shard), table, of=of)
        remote.push(model.folder / part_name(shard))
        self._logits[model.name], self._seconds[model.name] = [], 0.0


def _transforms(models: Sequence[ShownModel]) -> dict[str, Transform]:
    return {model.classifier.preprocessing_key(): model.classifier.transform for model in models}


def speed_up(classifier: Classifier, *, channels_last: bool, compiles: bool) -> None:
    """Lay out and compile the loaded networks of a classifier; its answers change by no more than rounding."""
    for network in vars(classifier).values():
        if not isinstance(network, torch.nn.Module):
            continue
        if channels_last:
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if compiles:
            getattr(network, "visual", network).compile()  # a dual encoder sees images with its visual tower
