"""ImageNet-C: common corruptions at five severities, and the mean corruption error (Hendrycks & Dietterich 2019)."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from imagenetd.errors import DataError
from imagenetd.images.datasets.dataset import DOCS, Listing
from imagenetd.images.datasets.walk import FoundFile, subfolders
from imagenetd.images.datasets.wordnet import WordNetDataset, class_id
from imagenetd.words.vocabulary import Category

GROUPS = {
    "noise": ("gaussian_noise", "shot_noise", "impulse_noise"),
    "blur": ("defocus_blur", "glass_blur", "motion_blur", "zoom_blur"),
    "weather": ("snow", "frost", "fog", "brightness"),
    "digital": ("contrast", "elastic_transform", "pixelate", "jpeg_compression"),
    "extra": ("speckle_noise", "gaussian_blur", "spatter", "saturate"),
}
GROUP_OF = {corruption: group for group, names in GROUPS.items() for corruption in names}
SEVERITIES = ("1", "2", "3", "4", "5")
# fmt: off
ALEXNET_ERROR = {
    "gaussian_noise": 0.886428, "shot_noise": 0.894468, "impulse_noise": 0.922640, "defocus_blur": 0.819880,
    "glass_blur": 0.826268, "motion_blur": 0.785948, "zoom_blur": 0.798360, "snow": 0.866816, "frost": 0.826572,
    "fog": 0.819324, "brightness": 0.564592, "contrast": 0.853204, "elastic_transform": 0.646056,
    "pixelate": 0.717840, "jpeg_compression": 0.606500,
}
# fmt: on
"""Mean error of AlexNet over the severities: the unit of the corruption error, published by its authors."""


@dataclass(kw_only=True)
class ImageNetCDataset(WordNetDataset):
    """`root/[group/]<corruption>/<severity 1..5>/<WordNet id>/**`.

    Args:
        corruptions: Which ones must be there; null: those that are.
    """

    corruptions: list[str] | None = None

    def class_folders(self) -> Iterator[str]:
        """Yield the names of the class folders of every corruption and severity."""
        for path in self._severity_folders():
            yield from subfolders(path)

    def _severity_folders(self) -> Iterator[Path]:
        root = self.folder()
        found = [
            path for pattern in ("*/", "*/*/") for path in sorted(root.glob(pattern)) if path.name in GROUP_OF
        ]
        names = {path.name for path in found}
        twice = sorted(name for name, count in Counter(path.name for path in found).items() if count > 1)
        if twice:
            places = ", ".join(str(path.relative_to(root)) for path in found if path.name == twice[0])
            raise DataError(
                f"data.root={self.root} holds the corruption {twice[0]} several times ({places}), which would be "
                "merged. Name the folder of one copy."
            )
        wanted = set(self.corruptions or ())
        if unknown := sorted(wanted - set(GROUP_OF)):
            raise DataError(f"data.corruptions names {unknown[0]!r}; ImageNet-C has {', '.join(GROUP_OF)}.")
        if not names or wanted - names:
            lacking = ", ".join(sorted(wanted - names)) or "any corruption (e.g. gaussian_noise/1)"
            raise DataError(f"data.root={self.root} lacks {lacking}. Name the folder of ImageNet-C; {DOCS}")
        for path in found:
            if not wanted or path.name in wanted:
                lost = [severity for severity in SEVERITIES if not (path / severity).is_dir()]
                if lost:
                    raise DataError(f"{path} lacks the severities {', '.join(lost)}. Get it again; {DOCS}")
                yield from (path / severity for severity in SEVERITIES)

    def class_of(self, parts: Sequence[str]) -> int | None:
        """Return the class of a file below a corruption and severity."""
        corruption, severity, position = _place(parts)
        is_wanted = not self.corruptions or corruption in self.corruptions
        return class_id(parts[position]) if severity and is_wanted and position < len(parts) - 1 else None

    def cell_of(self, file: FoundFile) -> dict[str, Any]:
        """Return the group of corruptions as the kind, the corruption as the nuisance, and the severity."""
        corruption, severity, _ = _place(file.parts)
        return {"kind": GROUP_OF[corruption], "nuisance": corruption, "severity": severity}

    def listing(self, categories: Sequence[Category]) -> Listing:
        """Return the images; DataError where corruptions and severities hold different numbers of them."""
        listing = super().listing(categories)
        cells = Counter((entry.nuisance, entry.severity) for entry in listing.entries)
        cells.update(
            (parts[position - 2], int(parts[position - 1]))
            for problem in listing.problems
            if (position := _place(parts := problem.file.split("/"))[2])
        )
        if len(set(cells.values())) > 1 and self.num_classes is not None:
            most, least = max(cells, key=lambda cell: cells[cell]), min(cells, key=lambda cell: cells[cell])
            raise DataError(
                f"data.root={self.root} holds {cells[least]:,} images of {least[0]}/{least[1]}, but {cells[most]:,} of "
                f"{most[0]}/{most[1]}: a mean over them would compare different images. Get it again, or do not count "
                f"with data.num_classes=null; {DOCS}"
            )
        return listing

    def findings(self, accuracies: pd.DataFrame) -> tuple[dict[str, pd.DataFrame], list[str]]:
        """Return the error of every model by corruption and severity, and the mean corruption error."""
        table = corruption_errors(accuracies)
        lines = []
        for model, rows in table.groupby("model", sort=False):
            known = rows[rows["corruption"].isin(ALEXNET_ERROR)]
            mean = f"{100 * rows['error'].mean():.1f}% mean error over {len(rows)} corruptions"
            if self.classes == "all" and set(known["corruption"]) == set(ALEXNET_ERROR):
                lines.append(
                    f"{model}: mCE {100 * known['corruption_error'].mean():.1f} (AlexNet is 100); {mean}."
                )
            else:
                lines.append(f"{model}: {mean}; mCE needs all 15 corruptions and data.classes=all.")
        return {"corruptions": table}, lines


def corruption_errors(accuracies: pd.DataFrame) -> pd.DataFrame:
    """Return for each model and corruption the error at each severity, their mean, and that in units of AlexNet's.

    Args:
        accuracies: One row for each model, nuisance and severity, see `Dataset.findings`.
    """
    rows = accuracies.assign(error=1 - accuracies["accuracy"])
    cells = rows.pivot_table("error", ["model", "nuisance"], "severity", aggfunc="first", sort=False)
    table = cells.rename(columns=lambda severity: f"error_severity_{severity}")
    table["error"] = cells.mean(axis=1)
    table = table.reset_index().rename(columns={"nuisance": "corruption"})
    table["corruption_error"] = table["error"] / table["corruption"].map(ALEXNET_ERROR)
    table.columns.name = None
    return table


def _place(parts: Sequence[str]) -> tuple[str, int, int]:
    """Return corruption, severity and the position of the class folder; severity 0 when they are not there."""
    for position, part in enumerate(parts[:-2]):
        if part in GROUP_OF and parts[position + 1] in SEVERITIES:
            return part, int(parts[position + 1]), position + 2
    return "", 0, 0
