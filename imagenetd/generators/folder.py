"""Images made elsewhere, adopted with a metadata file that says what each of them shows."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from imagenetd.csv_files import from_csv_frame
from imagenetd.errors import ConfigError, StoreError
from imagenetd.generators.generator import Generator, Picture
from imagenetd.prompt_table import PromptTable
from imagenetd.records import Kind, MissingFile, Prompt
from imagenetd.store import file_sha256

REQUIRED = ("file", "category", "kind", "nuisance")


class FolderGenerator(Generator):
    """Adopts the images that a CSV file lists.

    Args:
        root: Folder of the images.
        metadata: CSV file with the columns file (relative to root), category, kind (background, texture, material or
            neutral), nuisance (empty for neutral), and optionally prompt, seed, seed_index, sha256 (of the file: with
            it, nothing is read before it is adopted, and each file is checked then).
        unit_size: Images of one unit of work.
    """

    def __init__(self, root: str, metadata: str, unit_size: int) -> None:
        self.root, self.metadata, self.unit_size = Path(root), Path(metadata), unit_size
        self._files: list[str] | None = None
        self._hashes: list[str] | None = None

    def missing_files(self, option: str) -> list[MissingFile]:
        """Return the metadata file when it is not there."""
        if self.metadata.is_file():
            return []
        return [MissingFile(str(self.metadata), None, f"{option}.metadata=FILE", "a file of yours")]

    def identity(self) -> dict[str, Any]:
        """Return the hash of the metadata and of every image it lists; what the metadata says needs no reading."""
        table = self._read()
        if "sha256" in table:
            return {"generator": "folder", "metadata": file_sha256(self.metadata)}
        hashes = [file_sha256(self._path(name)) for name in table["file"]]
        return {"generator": "folder", "metadata": file_sha256(self.metadata), "images": hashes}

    def load(self, device: str) -> None:
        """Read the list of files."""
        table = self._read()
        self._files = list(table["file"])
        self._hashes = list(table["sha256"]) if "sha256" in table else None

    def prompts(self) -> PromptTable:
        """Return one row for each line of the metadata file."""
        table = self._read()
        texts = table["prompt"] if "prompt" in table else table["file"]
        seeds = table["seed"] if "seed" in table else pd.Series(0, index=table.index)
        numbers = table.groupby(["category", "kind", "nuisance"]).cumcount()
        if "seed_index" in table:
            numbers = table["seed_index"]
        rows = zip(texts, table["category"], table["kind"], table["nuisance"], seeds, numbers, strict=True)
        return PromptTable.of(
            Prompt(index, str(text), "adopted", category, kind, nuisance, int(seed), int(number))
            for index, (text, category, kind, nuisance, seed, number) in enumerate(rows)
        )

    def generate(self, rows: Sequence[Prompt], noise_seeds: Sequence[int]) -> list[Picture]:
        """Decode the images of the rows; the seeds are not used."""
        from PIL import Image, UnidentifiedImageError

        assert self._files is not None
        images = []
        for row in rows:
            path = self._path(self._files[row.index])
            if self._hashes is not None and file_sha256(path) != self._hashes[row.index]:
                raise StoreError(
                    f"{path} is not the file of {self.metadata}: its sha256 is another. Mend either."
                )
            try:
                with Image.open(path) as image:
                    images.append(Picture(np.asarray(image.convert("RGB"))))
            except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
                raise StoreError(
                    f"{path} cannot be read as an image ({error}). Mend it or take its line out."
                ) from error
        return images

    def _path(self, name: str) -> Path:
        path = self.root / name
        if not path.is_file():
            raise ConfigError(f"{self.metadata} lists {name}, which is not in generator.root={self.root}.")
        return path

    def _read(self) -> pd.DataFrame:
        try:
            table = from_csv_frame(pd.read_csv(self.metadata, dtype=str, keep_default_na=False))
        except (OSError, ValueError) as error:
            raise ConfigError(f"generator.metadata={self.metadata} cannot be read as CSV: {error}") from error
        lacking = [name for name in REQUIRED if name not in table]
        if lacking or table.empty:
            what = f"lacks the columns {', '.join(lacking)}" if lacking else "lists no image"
            raise ConfigError(f"generator.metadata={self.metadata} {what}; it needs {', '.join(REQUIRED)}.")
        unknown = sorted(set(table["kind"]) - set(Kind))
        if unknown:
            raise ConfigError(
                f"generator.metadata={self.metadata} has kind {unknown[0]!r}; known: {', '.join(Kind)}."
            )
        repeated = table["file"][table["file"].duplicated()]
        if len(repeated):
            raise ConfigError(f"generator.metadata={self.metadata} lists {repeated.iloc[0]} twice.")
        return table
