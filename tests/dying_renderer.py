"""A renderer that ends its own process at certain images, as a full memory or a broken node would."""

import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from imagenetd.config.groups import takes_options
from imagenetd.config.ranges import Batch, OneOf, Range
from imagenetd.errors import DataError
from imagenetd.images.generators.generator import Picture
from imagenetd.images.generators.render import RenderGenerator
from imagenetd.records import Prompt


class DyingRenderer(RenderGenerator):
    """Draws what the renderer does, with the same keys, until it comes to socks of wood.

    Args:
        size_px: Height and width of the images.
        unit_size: Images of one unit of work.
        mark: A file that is made at the first death.
        dies: `once`, `always`, or `in_error` with one line instead of a signal.
    """

    @takes_options
    def __init__(
        self,
        *,
        size_px: Annotated[int, Range(16, 4096)],
        unit_size: Batch,
        mark: str,
        dies: Annotated[str, OneOf(("once", "always", "in_error"))],
    ) -> None:
        super().__init__(size_px=size_px, unit_size=unit_size)
        self.mark, self.dies = Path(mark), dies

    def generate(self, rows: Sequence[Prompt], noise_seeds: Sequence[int]) -> list[Picture]:
        """Render, or die."""
        if any((row.category, row.nuisance) == ("sock", "wood") for row in rows):
            is_first = not self.mark.exists()
            self.mark.touch()
            if self.dies == "in_error":
                raise DataError("A sock of wood cannot be worn.")
            if self.dies == "always" or is_first:
                os.kill(os.getpid(), signal.SIGKILL)
        return super().generate(rows, noise_seeds)
