"""A plain folder of images: one folder for each category, or a CSV file that says what each file shows."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from imagenetd.errors import DataError
from imagenetd.images.datasets.dataset import Listing, MappedDataset
from imagenetd.images.datasets.labels import SPLIT_NAMES, NameResolver, refuse_merged
from imagenetd.images.datasets.walk import FoundFile, listed_path, problem_of
from imagenetd.records import NUISANCE_KINDS
from imagenetd.store.delimited import read_delimited
from imagenetd.store.escaping import shown
from imagenetd.words.vocabulary import Category

HELD_BY_LABELS = ("file", "category")


@dataclass(kw_only=True)
class FolderDataset(MappedDataset):
    """Images in `root/<category>/**`, or in the files that `labels` lists.

    Args:
        labels: CSV file with the columns file (relative to root), category, and optionally kind, nuisance; null: the
            name of the first folder below the root is the category.
    """

    labels: str | None = None

    def listing(self, categories: Sequence[Category]) -> Listing:
        """Return every file below the root: an image with its label, a problem, or ignored by name."""
        resolver = self.resolver(categories)
        return self._by_labels(resolver) if self.labels else self._by_folders(resolver)

    def _by_folders(self, resolver: NameResolver) -> Listing:
        found = self.files()
        listing = Listing(ignored=found.ignored)
        for file in found.files:
            name = file.parts[0]
            if len(file.parts) == 1:
                if file.problem:
                    listing.add(file, "", self.kind)
                elif file.is_image_by_name:
                    label = f"(image without a folder) {file.shown}"
                    listing.refuse(file.shown, label, "it lies in no category's folder")
                else:
                    listing.ignored[f"{file.shown} beside the folders"] += 1
                continue
            category = resolver.find(name)
            if category is None:
                listing.refuse(file.shown, name, f"folder {name!r}: {resolver.hint(name)}")
            else:
                listing.add(file, category, self.kind)
        self._refuse_other_layout(listing.unknown)
        refuse_merged((file.parts[0] for file in found.files), resolver, where=f"data.root={self.root}")
        self._refuse_splits_below(listing)
        return self.settle(listing, resolver)

    def _refuse_other_layout(self, unknown: Counter[str]) -> None:
        if set(unknown) & set(NUISANCE_KINDS):
            raise DataError(
                f"data.root={self.root} holds the folders {', '.join(sorted(set(unknown) & set(NUISANCE_KINDS)))}: "
                "this is the layout of ImageNet-D. Use data=imagenet_d."
            )

    def _refuse_splits_below(self, listing: Listing) -> None:
        """Raise DataError where every image would count for several splits that lie below the categories."""
        below = {
            entry.file.split("/")[1].casefold() for entry in listing.entries if entry.file.count("/") > 1
        }
        splits = sorted(below & SPLIT_NAMES)
        if len(splits) > 1:
            raise DataError(
                f"data.root={self.root} holds the splits {', '.join(splits)} below its categories, which would be "
                "merged. Copy or link one of them into a folder of its own, or list its files with data.labels."
            )

    def _by_labels(self, resolver: NameResolver) -> Listing:
        root, listing = self.folder(), Listing()
        table = read_delimited(
            Path(str(self.labels)),
            title=f"data.labels={self.labels}",
            needed=HELD_BY_LABELS,
            optional=("kind", "nuisance"),
        )
        lines: dict[bytes, int] = {}
        for row in table.rows:
            path = listed_path(root, row.raw("file"))
            if path == b"." or not row.has("file"):
                raise row.error("file", "names no file")
            if (before := lines.setdefault(path, row.line)) != row.line:
                raise row.error(
                    "file", f"lists {shown(path)} twice, as line {before} does. Remove one of the lines"
                )
            file = FoundFile(path, problem_of(os.path.join(os.fsencode(root), path)))
            name = row.text("category", default="")
            category = resolver.find(name) if name else None
            if category is None:
                listing.refuse(file.shown, name, f"line {row.line}, label {name!r}: {resolver.hint(name)}")
            else:
                kind, nuisance = row.text("kind", default=self.kind), row.text("nuisance", default="")
                listing.add(file, category, kind, nuisance)
        names = [row.text("category", default="") for row in table.rows]
        refuse_merged(names, resolver, where=f"data.labels={self.labels}")
        return self.settle(listing, resolver)
