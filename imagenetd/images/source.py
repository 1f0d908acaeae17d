"""Where the images of a run come from, with one face: a generator draws them, or they are those of a dataset."""

import abc
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from imagenetd.images.adopt import Adopted, adopt, open_images, write_manifest
from imagenetd.images.datasets.dataset import Dataset
from imagenetd.images.generators.generator import Generator
from imagenetd.images.pool import Pool, PoolShards, read_layout, read_pool
from imagenetd.records import Identity, StageResult
from imagenetd.store.folders import StageFolder, content_key, content_key_of_rows
from imagenetd.words.prompt_table import PromptTable
from imagenetd.words.vocabulary import VOCABULARY_VERSION, Category


@dataclass(frozen=True, kw_only=True)
class ImageSource(abc.ABC):
    """The images of a run before they are there: what they are called, where they lie, how they are opened."""

    categories: tuple[Category, ...]
    """The classes of the benchmark."""
    folder: StageFolder
    """Of the images; its key names them."""
    generator: Generator | None = None
    """None when nothing is drawn; so with the next two."""
    rows: PromptTable | None = None
    identity: Identity = field(default_factory=dict)
    """Of the generator: all that changes an image."""

    @property
    def is_drawn(self) -> bool:
        """A generator draws the images from prompts; else they are there and are listed."""
        return self.generator is not None

    @property
    def folders(self) -> dict[str, StageFolder]:
        """Stage -> its folder, of the stages that the user can ask for."""
        return {}

    @property
    def can_repeat(self) -> bool:
        """Another image of the same prompt can be had."""
        return False

    @property
    def key(self) -> str:
        """Of the images: of all that decides their pixels."""
        return self.folder.key

    def shown_categories(self) -> list[str] | None:
        """Return the category that each image really shows; None where nobody knows."""
        return None

    @abc.abstractmethod
    def open(self) -> Pool:
        """Return the images, those that cannot be decoded included."""

    def by_shard(self) -> Pool | PoolShards:
        """Return the same for a worker, who needs one shard at a time."""
        return self.open()

    def listed(self) -> StageResult | None:
        """Write down which images are there; None where they must be drawn first."""
        return None


@dataclass(frozen=True, kw_only=True)
class DrawnImages(ImageSource):
    """A pool: the images that a generator makes of prompts."""

    prompts_folder: StageFolder

    @property
    def folders(self) -> dict[str, StageFolder]:
        """Those of the prompts and of the pool."""
        return {"prompts": self.prompts_folder, "generate": self.folder}

    @property
    def can_repeat(self) -> bool:
        """The generator draws from any prompt, not from images of its own."""
        return self.generator is not None and self.generator.prompts() is None

    def shown_categories(self) -> list[str] | None:
        """Return what the generator knows to have drawn."""
        assert self.generator is not None and self.rows is not None
        return self.generator.shown_category(self.rows)

    def open(self) -> Pool:
        """Return the finished pool."""
        return read_pool(self.folder.path, self.folder.key)

    def by_shard(self) -> PoolShards:
        """Return the finished pool for who reads a shard at a time."""
        return PoolShards(self.folder.path, self.folder.key, read_layout(self.folder.path))


@dataclass(frozen=True, kw_only=True)
class ListedImages(ImageSource):
    """A dataset that exists already."""

    adopted: Adopted

    def open(self) -> Pool:
        """Return the images of the dataset."""
        return open_images(self.folder, self.adopted)

    def listed(self) -> StageResult:
        """Write the manifest and the files that are not evaluated, unless they are written."""
        return write_manifest(self.folder, self.adopted)


def drawn_images(
    output_dir: Path,
    generator: Generator,
    rows: PromptTable,
    *,
    identity: Identity,
    categories: Sequence[Category],
) -> DrawnImages:
    """Return the pool that a generator makes of prompts.

    Args:
        output_dir: `paths.output_dir`.
        generator: Not loaded.
        rows: One for each image.
        identity: Of the generator.
        categories: Of the benchmark.
    """
    prompts = content_key_of_rows({"stage": "prompts", "vocabulary": VOCABULARY_VERSION}, rows.as_json())
    pool = content_key({"stage": "generate", "prompts": prompts, "generator": identity})
    return DrawnImages(
        categories=tuple(categories),
        folder=StageFolder(output_dir / "pools" / pool, "generate", pool),
        generator=generator,
        rows=rows,
        identity=identity,
        prompts_folder=StageFolder(output_dir / "prompts" / prompts, "prompts", prompts),
    )


def listed_images(output_dir: Path, dataset: Dataset, chosen: Sequence[Category]) -> ListedImages:
    """Return the images of a dataset, listed and hashed.

    Args:
        output_dir: Where hashes are kept, `paths.output_dir`.
        dataset: Not read yet.
        chosen: Categories that the config names.
    """
    adopted = adopt(dataset, chosen, output_dir)
    folder = StageFolder(output_dir / "datasets" / adopted.key, "data", adopted.key)
    return ListedImages(categories=adopted.categories, folder=folder, adopted=adopted)
