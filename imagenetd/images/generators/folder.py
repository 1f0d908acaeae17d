"""Images made elsewhere, adopted with a metadata file that says what each of them shows."""

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np

from imagenetd.config.groups import takes_options
from imagenetd.config.ranges import Batch, Range
from imagenetd.errors import ConfigError, StoreError
from imagenetd.images.datasets.labels import NameResolver
from imagenetd.images.decode import MAX_ASPECT_RATIO, MAX_PIXELS, Decoding, UndecodableError, decode
from imagenetd.images.generators.generator import Generator, Picture
from imagenetd.records import Identity, Kind, MissingFile, Prompt
from imagenetd.store.delimited import DelimitedRow, read_delimited
from imagenetd.store.folders import file_sha256
from imagenetd.words.prompt_table import PromptTable
from imagenetd.words.vocabulary import load_categories

REQUIRED = ("file", "category", "kind", "nuisance")
OPTIONAL = ("prompt", "seed", "seed_index", "sha256")
DECODER_VERSION = 2
"""Part of the identity: 1 made 16-bit pictures white."""


@dataclass(frozen=True, slots=True)
class AdoptedFile:
    """One line of the metadata file."""

    file: str
    """Relative to the root; bytes that are not UTF-8 are as `os.fsencode` wants them."""
    sha256: str
    """Of the file; empty: not told."""
    prompt: Prompt


class FolderGenerator(Generator):
    """Adopts the images that a CSV file lists.

    Args:
        root: Folder of the images.
        metadata: CSV file with the columns file (relative to root), category, kind (background, texture, material or
            neutral), nuisance (empty for neutral), and optionally prompt, seed, seed_index, sha256 (of the file: with
            it, nothing is read before it is adopted, and each file is checked then).
        unit_size: Images of one unit of work.
        max_pixels: An image with more is refused: a decompression bomb.
        max_aspect_ratio: So is one whose sides differ by more than this factor.
        apply_exif: Turn images as their EXIF orientation says.
    """

    needs_torch = False

    @takes_options
    def __init__(
        self,
        root: str,
        metadata: str,
        unit_size: Batch,
        *,
        max_pixels: Annotated[int, Range(1, 10**10)] = MAX_PIXELS,
        max_aspect_ratio: Annotated[float, Range(1, 1_000_000)] = MAX_ASPECT_RATIO,
        apply_exif: bool = False,
    ) -> None:
        self.root, self.metadata, self.unit_size = Path(root), Path(metadata), unit_size
        self.decoding = Decoding(max_pixels, float(max_aspect_ratio), apply_exif, option="generator")
        self._adopted: list[AdoptedFile] | None = None

    def missing_files(self, option: str) -> list[MissingFile]:
        """Return the metadata file when it is not there."""
        if self.metadata.is_file():
            return []
        return [MissingFile(str(self.metadata), None, f"{option}.metadata=FILE", "a file of yours")]

    def identity(self) -> Identity:
        """Return the hash of the metadata and of every image it lists; what the metadata says needs no reading."""
        adopted = self._read()
        known = {"generator": "folder", "decoder": DECODER_VERSION, "metadata": file_sha256(self.metadata)}
        if self.decoding.apply_exif:
            known["apply_exif"] = True
        if all(entry.sha256 for entry in adopted):
            return known
        return known | {"images": [file_sha256(self._path(entry.file)) for entry in adopted]}

    def load(self, device: str) -> None:
        """Read the list of files."""
        self._adopted = self._read()

    def prompts(self) -> PromptTable:
        """Return one row for each line of the metadata file."""
        return PromptTable.of(entry.prompt for entry in self._read())

    def generate(self, rows: Sequence[Prompt], noise_seeds: Sequence[int]) -> list[Picture]:
        """Decode the images of the rows, as `data=folder` does; the seeds are not used."""
        assert self._adopted is not None
        images = []
        for row in rows:
            entry = self._adopted[row.index]
            path = self._path(entry.file)
            if entry.sha256 and file_sha256(path) != entry.sha256:
                raise StoreError(
                    f"{path} is not the file of {self.metadata}: its sha256 is another. Mend either."
                )
            try:
                images.append(Picture(np.asarray(decode(path.read_bytes(), self.decoding))))
            except (UndecodableError, OSError) as error:
                reason = getattr(error, "strerror", None) or str(error)
                raise StoreError(
                    f"{path} cannot be read as an image ({reason}). Mend it or take its line out."
                ) from error
        return images

    def _path(self, name: str) -> Path:
        path = self.root / name
        if not path.is_file():
            raise ConfigError(
                f"{self.metadata} lists {os.fsencode(name).decode('utf-8', 'backslashreplace')}, which is not in "
                f"generator.root={self.root}."
            )
        return path

    def _read(self) -> list[AdoptedFile]:
        table = read_delimited(
            self.metadata,
            title=f"generator.metadata={self.metadata}",
            needed=REQUIRED,
            optional=OPTIONAL,
            error=ConfigError,
        )
        files: dict[str, int] = {}
        resolver = NameResolver(tuple(load_categories().values()))
        adopted: list[AdoptedFile] = []
        lines: dict[tuple[str | int, ...], int] = {}
        numbers = Counter[tuple[str, ...]]()
        for index, row in enumerate(table.rows):
            cell = (_category(row, resolver), _kind(row), row.text("nuisance", default=""))
            if cell[1] == Kind.NEUTRAL and cell[2]:
                raise row.error("nuisance", f"holds {cell[2]!r}, but a neutral image has none")
            has_numbers = "seed_index" in table.columns
            number = row.integer("seed_index", minimum=0) if has_numbers else numbers[cell]
            numbers[cell] += 1
            seed = row.integer("seed", minimum=0) if "seed" in table.columns else 0
            file = row.raw("file")
            if (first := files.setdefault(os.path.normpath(self.root / file), row.line)) != row.line:
                raise row.error(
                    "file", f"repeats {_shown(file)!r} of line {first}: it lists it twice; remove one"
                )
            text = row.raw("prompt") if "prompt" in table.columns else _shown(file)
            before = lines.setdefault((text, *cell, seed, number), row.line)
            if before != row.line:
                raise row.error(
                    "seed_index", f"repeats prompt, words, seed and seed_index of line {before}: give another"
                )
            prompt = Prompt(index, text, "adopted", *cell, seed, number)
            adopted.append(AdoptedFile(_file(row, file), _sha256(row), prompt))
        return adopted


def _category(row: DelimitedRow, resolver: NameResolver) -> str:
    name = row.text("category")
    found = resolver.find(name)
    if found is None:
        raise row.error("category", f"holds {name!r}, which is none of the 113: {resolver.hint(name)}")
    return found


def _kind(row: DelimitedRow) -> str:
    name = row.text("kind")
    if name.lower() not in tuple(Kind):
        raise row.error("kind", f"has kind {name!r}; known: {', '.join(Kind)}")
    return str(Kind(name.lower()))


def _file(row: DelimitedRow, file: str) -> str:
    if not file.strip() or "\0" in file:
        raise row.error("file", "is empty")
    return file


def _sha256(row: DelimitedRow) -> str:
    """Return the stated hash; a column that is there states it in every line."""
    if "sha256" not in row.table.columns:
        return ""
    told = row.text("sha256").lower()
    if not re.fullmatch("[0-9a-f]{64}", told):
        raise row.error("sha256", f"holds {told[:70]!r}, which is no sha256 of 64 hexadecimal digits")
    return told


def _shown(file: str) -> str:
    return os.fsencode(file).decode("utf-8", "backslashreplace")
