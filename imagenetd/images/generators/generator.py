"""What every generator can do: name itself exactly, say which files it lacks, and turn rows into pixels."""

import abc
import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from imagenetd.errors import ConfigError
from imagenetd.records import Identity, MissingFile, Prompt
from imagenetd.words.prompt_table import PromptTable


@dataclass(frozen=True, slots=True)
class Picture:
    """What a generator draws for one row."""

    pixels: np.ndarray
    """uint8 "height width 3"."""
    is_flagged: bool = False
    """A safety checker objected to it."""


class Generator(abc.ABC):
    """Image(C, N) = Diffusion(Prompt(C, N)) (paper, equation 1).

    Building one is cheap: nothing is imported, read or downloaded before `load`.
    """

    unit_size: int
    """Images of one unit of work: the batch that the network sees, and what a crash can lose."""
    height_px: int = 512
    """Of an image; only estimates of what a pool weighs ask for it."""
    width_px: int = 512
    images_per_s: float | None = None
    """Measured speed of one process, for the estimate of the cost; None: not known."""

    needs_torch: bool = True
    """False of one that draws with NumPy alone: a single process then reads neither torch nor Lightning."""

    @abc.abstractmethod
    def identity(self) -> Identity:
        """Return, as plain values, everything that changes an image, weights included."""

    @abc.abstractmethod
    def load(self, device: str) -> None:
        """Read the weights and move them to `device` (`cpu`, `cuda:0`)."""

    @abc.abstractmethod
    def generate(self, rows: Sequence[Prompt], noise_seeds: Sequence[int]) -> list[Picture]:
        """Return one picture for each row; image i's noise depends on noise_seeds[i] alone."""

    def close(self) -> None:
        """Give back what `load` took, e.g. the memory of a GPU."""
        return None

    @property
    def num_pixels(self) -> int:
        """Pixels of an image, for estimates of what a pool weighs."""
        return self.height_px * self.width_px

    def missing_files(self, option: str) -> list[MissingFile]:
        """Return the files that `load` would look for in vain; `option` is where this stands in the config."""
        return []

    def refuse_unknown(self, rows: Sequence[Prompt]) -> None:
        """Raise ConfigError for a word that the generator never learned: its image would show something else."""
        return None

    def shown_category(self, rows: Sequence[Prompt]) -> list[str] | None:
        """Return the category that each row's image really shows, or None when the generator cannot know.

        Only for studies with a known answer; nothing of the benchmark may depend on it.
        """
        return None

    def prompts(self) -> PromptTable | None:
        """Return the rows that the generator itself brings, or None when they come from the vocabularies."""
        return None


def refuse_words(rows: Sequence[Prompt], known: Collection[str], *, generator: str) -> None:
    """Raise ConfigError for a row whose category or nuisance is none of the known words; one row a cell is enough."""
    for row in rows:
        for word in (row.category, row.nuisance):
            if word and word not in known:
                raise ConfigError(
                    f"generator={generator} cannot draw {word!r} (prompt {row.text!r}): it knows only the words of "
                    "categories=tiny and nuisances=tiny. Choose those, or another generator."
                )


def image_id(generator_key: str, row: Prompt) -> str:
    """Return the name of an image: a function of generator, prompt and seeds alone, never of batch or process."""
    parts = (
        generator_key,
        row.text,
        row.category,
        row.kind,
        row.nuisance,
        str(row.seed),
        str(row.seed_index),
    )
    return _digest(*parts, row.pair) if row.pair else _digest(*parts)


def noise_seed(generator_key: str, row: Prompt) -> int:
    """Return the seed of an image's noise, 0 .. 2**63 - 1: from its id, or from its pair when it has one."""
    name = _digest(generator_key, row.pair) if row.pair else image_id(generator_key, row)
    return int(name, 16) & (2**63 - 1)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:16]
