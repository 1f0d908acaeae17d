"""ImageNet-9: foregrounds and backgrounds mixed, and the background gap (Xiao et al. 2020)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from imagenetd.errors import DataError
from imagenetd.images.datasets.dataset import DOCS, Dataset, Listing
from imagenetd.images.datasets.labels import NameResolver
from imagenetd.images.datasets.walk import subfolders
from imagenetd.store.delimited import read_foreign_json
from imagenetd.words.imagenet import NUM_CLASSES
from imagenetd.words.vocabulary import Category

VARIANTS = (
    "original",
    "mixed_same",
    "mixed_rand",
    "mixed_next",
    "only_fg",
    "no_fg",
    "only_bg_b",
    "only_bg_t",
    "fg",
)
# fmt: off
CLASSES = (
    "dog", "bird", "wheeled vehicle", "reptile", "carnivore", "insect", "musical instrument", "primate", "fish",
)
# fmt: on
MAP_FILE = "in_to_in9.json"
WHERE = f"Get {MAP_FILE} from github.com/MadryLab/backgrounds_challenge and name it with data.class_map=FILE."


@dataclass(kw_only=True)
class ImageNet9Dataset(Dataset):
    """`root/<variant>/[val/]<00_dog ... 08_fish>/**`.

    Args:
        class_map: JSON file of the dataset's authors, ImageNet id -> 0..8 or -1; null: in_to_in9.json in the root.
        variants: Which ones must be there; null: those that are.
    """

    class_map: str | None = None
    variants: list[str] | None = None

    def categories(self, chosen: Sequence[Category]) -> tuple[Category, ...]:
        """Return the nine classes, each with all of its ImageNet ids."""
        path = Path(self.class_map) if self.class_map else self.folder() / MAP_FILE
        try:
            content = read_foreign_json(path, title=str(path))
        except DataError as error:
            raise DataError(f"{error} {WHERE}") from error
        if not isinstance(content, dict) or {str(index) for index in range(NUM_CLASSES)} != set(content):
            held = f"{len(content)} entries" if isinstance(content, dict) else "no mapping"
            raise DataError(
                f"{path} holds {held}, but each of the ImageNet ids 0..{NUM_CLASSES - 1} must stand there once. {WHERE}"
            )
        wrong = [index for index, number in content.items() if number not in range(-1, 9) or number is True]
        if wrong:
            raise DataError(
                f"{path} gives the id {wrong[0]} the class {content[wrong[0]]!r}, not -1..8. {WHERE}"
            )
        class_of = {int(index): int(number) for index, number in content.items()}
        ids = {number: tuple(i for i, n in sorted(class_of.items()) if n == number) for number in range(9)}
        if not all(ids.values()):
            raise DataError(f"{path} leaves one of the nine classes without an ImageNet id. {WHERE}")
        return tuple(
            Category(name.replace(" ", "_"), name, ids[number]) for number, name in enumerate(CLASSES)
        )

    def listing(self, categories: Sequence[Category]) -> Listing:
        """Return the images of every variant; the variant is the nuisance."""
        there = [name for name in subfolders(self.folder()) if name in VARIANTS]
        wanted = list(self.variants or there)
        if not there or set(wanted) - set(there):
            lacking = ", ".join(sorted(set(wanted) - set(there))) or "any of " + ", ".join(VARIANTS)
            raise DataError(f"data.root={self.root} lacks {lacking}. Name the folder of ImageNet-9; {DOCS}")
        found, resolver = self.files(), NameResolver(categories)
        listing = Listing(ignored=found.ignored)
        for file in found.files:
            parts = [part for part in file.parts[1:-1] if part != "val"]
            if file.parts[0] not in wanted or not parts:
                listing.ignored["files outside the variants' folders"] += 1
                continue
            number, name = re.fullmatch(r"(?:(\d+)[_ ])?(.*)", parts[0], re.DOTALL).groups()  # type: ignore[union-attr]
            category = resolver.find(name)
            if category is not None and number and int(number) != CLASSES.index(category.replace("_", " ")):
                raise DataError(
                    f"data.root={self.root} calls class {number} {name!r}, which has another number."
                )
            if category is None:
                listing.refuse(file.shown, parts[0], f"label {parts[0]!r}")
            else:
                listing.add(file, category, self.kind, file.parts[0])
        return self.settle(listing, resolver)

    def findings(self, accuracies: pd.DataFrame) -> tuple[dict[str, pd.DataFrame], list[str]]:
        """Return the accuracy of every model on every variant, and the background gap: mixed_same minus mixed_rand."""
        table = accuracies.pivot_table(
            "accuracy", "model", "nuisance", aggfunc="first", sort=False
        ).reset_index()
        table.columns.name = None
        lines = []
        if {"mixed_same", "mixed_rand"} <= set(table):
            table["bg_gap"] = table["mixed_same"] - table["mixed_rand"]
            lines = [
                f"{row['model']}: BG-Gap {100 * row['bg_gap']:.1f} points (mixed_same - mixed_rand)."
                for row in table.to_dict("records")
            ]
        return {"variants": table}, lines
