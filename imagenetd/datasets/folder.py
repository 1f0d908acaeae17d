"""A plain folder of images: one folder for each category, or a CSV file that says what each file shows."""

import csv
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from imagenetd.datasets.dataset import UNKNOWN_LABEL, Entry, Listing, MappedDataset, Problem, unreadable
from imagenetd.datasets.labels import NameResolver
from imagenetd.datasets.walk import FoundFile, problem_of, shown
from imagenetd.errors import DataError
from imagenetd.escaping import from_csv_row
from imagenetd.records import NUISANCE_KINDS
from imagenetd.vocabulary import Category

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
        listing, unknown = Listing(ignored=found.ignored), Counter[str]()
        for file in found.files:
            name = file.parts[0]
            if len(file.parts) == 1:
                if file.is_image_by_name or file.problem:
                    reason = file.problem or "it lies in no category's folder"
                    problem = "unreadable" if file.problem else UNKNOWN_LABEL
                    listing.problems.append(Problem(file.shown, "", problem, reason))
                    if not file.problem:
                        unknown[f"(image without a folder) {file.shown}"] += 1
                else:
                    listing.ignored[f"{file.shown} beside the folders"] += 1
                continue
            category = resolver.find(name)
            if category is None:
                unknown[name] += 1
                reason = f"folder {name!r}: {resolver.hint(name)}"
                listing.problems.append(Problem(file.shown, "", UNKNOWN_LABEL, reason))
            elif file.problem:
                listing.problems.append(unreadable(file, category))
            else:
                listing.entries.append(Entry(file.shown, file.path, category, self.kind))
        self._refuse_other_layout(unknown)
        return self.settle(listing, unknown, resolver)

    def _refuse_other_layout(self, unknown: Counter[str]) -> None:
        if set(unknown) & set(NUISANCE_KINDS):
            raise DataError(
                f"data.root={self.root} holds the folders {', '.join(sorted(set(unknown) & set(NUISANCE_KINDS)))}: "
                "this is the layout of ImageNet-D. Use data=imagenet_d."
            )

    def _by_labels(self, resolver: NameResolver) -> Listing:
        root, listing, unknown = self.folder(), Listing(), Counter[str]()
        for row in self._rows():
            path = os.fsencode(row["file"])
            file = FoundFile(path, problem_of(os.path.join(os.fsencode(root), path)))
            category = resolver.find(row["category"])
            if category is None:
                unknown[row["category"]] += 1
                reason = f"label {row['category']!r}: {resolver.hint(row['category'])}"
                listing.problems.append(Problem(file.shown, "", UNKNOWN_LABEL, reason))
            elif file.problem:
                listing.problems.append(unreadable(file, category))
            else:
                kind, nuisance = row.get("kind") or self.kind, row.get("nuisance") or ""
                listing.entries.append(Entry(shown(path), path, category, kind, nuisance))
        repeated = [file for file, count in Counter(e.path for e in listing.entries).items() if count > 1]
        if repeated:
            raise DataError(
                f"data.labels={self.labels} lists {shown(repeated[0])} twice. Remove one of the lines."
            )
        return self.settle(listing, unknown, resolver)

    def _rows(self) -> Iterator[dict[str, str]]:
        try:
            with open(str(self.labels), newline="", encoding="utf-8-sig", errors="surrogateescape") as stream:
                reader = csv.DictReader(stream)
                lacking = [name for name in HELD_BY_LABELS if name not in (reader.fieldnames or ())]
                if lacking:
                    raise DataError(
                        f"data.labels={self.labels} lacks the columns {', '.join(lacking)}; it has "
                        f"{', '.join(reader.fieldnames or ['no header'])}. Its first line must name file and category."
                    )
                yield from map(from_csv_row, reader)
        except (OSError, csv.Error) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise DataError(
                f"data.labels={self.labels} cannot be read ({reason}). Name a CSV file."
            ) from error
