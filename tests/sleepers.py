"""What takes its time: the pictures of the renderer and the logits of mean colours, later."""

import contextlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from torch import Tensor

from imagenetd.config.ranges import Batch, Range
from imagenetd.images.generators.generator import Picture
from imagenetd.images.generators.render import RenderGenerator
from imagenetd.records import Prompt
from tests.fakes import ColourClassifier


class SleepingGenerator(RenderGenerator):
    """Sleeps before each unit of work; who first comes to the pool's first image oversleeps.

    Args:
        size_px: Height and width of the images.
        unit_size: Images of one unit of work.
        nap_s: Seconds for each unit.
        oversleeps_s: Seconds, once.
        mark: File that tells that somebody has overslept.
    """

    def __init__(
        self,
        *,
        size_px: Annotated[int, Range(16, 4096)],
        unit_size: Batch,
        nap_s: float = 0.0,
        oversleeps_s: float = 0.0,
        mark: str | None = None,
    ) -> None:
        super().__init__(size_px=size_px, unit_size=unit_size)
        self.nap_s, self.oversleeps_s, self.mark = nap_s, oversleeps_s, mark

    def generate(self, rows: Sequence[Prompt], noise_seeds: Sequence[int]) -> list[Picture]:
        time.sleep(self.nap_s)
        if self.mark is not None and rows[0].index == 0:
            with contextlib.suppress(FileExistsError):
                Path(self.mark).touch(exist_ok=False)
                time.sleep(self.oversleeps_s)
        return super().generate(rows, noise_seeds)


class SleepingClassifier(ColourClassifier):
    """Sleeps before each batch.

    Args:
        nap_s: Seconds for each batch.
        options: Of the classifier of mean colours.
    """

    def __init__(self, *, nap_s: float, **options: Any) -> None:
        super().__init__(**options)
        self.nap_s = nap_s

    def logits(self, batch: Tensor) -> Tensor:
        time.sleep(self.nap_s)
        return super().logits(batch)


class FailingGenerator(RenderGenerator):
    """Has a fault of its own."""

    def generate(self, rows: Sequence[Prompt], noise_seeds: Sequence[int]) -> list[Picture]:
        raise ZeroDivisionError("planted")
