"""The report `neighbours`: which photographs of a reference set look most like the failures, to a dual encoder."""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import pandas as pd
from PIL import Image

from imagenetd.config.ranges import Count, Range
from imagenetd.config.schema import build
from imagenetd.errors import ConfigError
from imagenetd.images.datasets.labels import NameResolver
from imagenetd.images.datasets.walk import IMAGE_SUFFIXES
from imagenetd.images.decode import Decoding, UndecodableError, decode
from imagenetd.models.open_clip import OpenClipClassifier
from imagenetd.reports.evidence import Evidence, ReportResult
from imagenetd.reports.report_set import Report
from imagenetd.scoring.statistics.intervals import THESE_CATEGORIES, wilson_interval
from imagenetd.store.numerals import counted, percent_interval
from imagenetd.words.vocabulary import choose_categories, load_categories

COLUMNS = [
    *(
        "image_id",
        "category",
        "kind",
        "nuisance",
        "text",
        "place",
        "reference",
        "reference_category",
        "similarity",
    ),
    "is_prompted_category",
]


@dataclass(frozen=True, slots=True)
class NeighboursReport(Report):
    """Nearest neighbours of failures among reference photographs (paper, section 4.4). Runs a model: off by default."""

    reference: str = "???"
    """Folder of photographs, one folder for each category."""
    model: dict[str, Any] = field(default_factory=dict)
    """A dual encoder of `target/`."""
    num_neighbours: Annotated[int, Range(1, 1000)] = 3
    """For each failure."""
    max_failures: Annotated[int, Range(0, 100_000)] = 200
    """Spread evenly over the failures of the accepted set, else of the mined or the first target's."""
    max_reference: Count = 20000
    """Photographs; more are thinned evenly."""

    name: ClassVar[str] = "neighbours"

    def report(self, evidence: Evidence) -> ReportResult:
        """Return `neighbours`: one row for each failure and neighbour, the nearest first."""
        files = _thinned(reference_files(Path(self.reference)), self.max_reference)
        chosen = _thinned(failures_of(evidence), self.max_failures)
        read_image = evidence.read_image
        if read_image is None or not chosen:
            nothing = pd.DataFrame(columns=COLUMNS)
            return ReportResult(self.name, {"neighbours": nothing}, ("There is no failure to look up.",))
        encoder = self._encoder(evidence)
        failures = _features(encoder, (read_image(index) for index in chosen))
        reference = _features(encoder, (_opened(path) for path in files))
        nearest, similarity = nearest_neighbours(failures, reference, self.num_neighbours)
        table = _table(evidence, chosen, files, nearest, similarity)
        first = table[table["place"] == 1]
        share = float(first["is_prompted_category"].mean())
        ends = wilson_interval(np.array(first["is_prompted_category"].sum()), np.array(len(first)))
        low, high = (float(end) for end in ends)
        finding = (
            f"The nearest of {len(files):,} reference photographs shows the prompted category for "
            f"{100 * share:.0f}% {percent_interval(low, high)} of {counted(len(first), 'failure')}; for "
            f"{THESE_CATEGORIES}."
        )
        summary = {"share_of_prompted_category": share, "interval": [low, high], "num_failures": len(first)}
        return ReportResult(self.name, {"neighbours": table}, (finding,), summary)

    def _encoder(self, evidence: Evidence) -> OpenClipClassifier:
        import torch

        encoder = build(self.model, option="report.model")
        if not isinstance(encoder, OpenClipClassifier):
            raise ConfigError(
                "report=neighbours needs a dual encoder, e.g. target@report.model=clip_vit_l_14."
            )
        names = evidence.images["category"].unique().tolist()
        encoder.load(choose_categories(names), torch.device("cpu"))
        return encoder


def nearest_neighbours(
    features: np.ndarray, reference: np.ndarray, most: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return positions and cosine similarities "images neighbours" of the most similar rows, the nearest first.

    Args:
        features: Float "images features", of length 1.
        reference: Float "reference features", of length 1.
        most: Neighbours of each image.
    """
    similarity = features @ reference.T
    nearest = np.argsort(-similarity, axis=1, kind="stable")[:, :most]
    return nearest, np.take_along_axis(similarity, nearest, axis=1)


def failures_of(evidence: Evidence) -> list[int]:
    """Return the positions of the failures that are looked up."""
    for name in ("accepted", "mined"):
        if name in evidence.sets and evidence.sets[name].any():
            return np.flatnonzero(evidence.sets[name]).tolist()
    targets = evidence.of_role("target")
    return np.flatnonzero(targets[0].wrong).tolist() if targets else []


def reference_files(folder: Path) -> list[Path]:
    """Return the photographs below a folder in order; ConfigError when there is none, or none of a known category."""
    found = (
        sorted(p for p in folder.glob("*/*") if p.suffix.lower() in IMAGE_SUFFIXES) if folder.is_dir() else []
    )
    if not found:
        raise ConfigError(
            f"report.reference={folder} holds no photographs. Name a folder with one folder for each category."
        )
    names = sorted({path.parent.name for path in found})
    if not any(_category(name) for name in names):
        raise ConfigError(
            f"report.reference={folder} holds the folders {', '.join(names[:3])}, of which none is called by a key, "
            "display name or WordNet id of a category. Rename them."
        )
    return found


def _category(name: str) -> str | None:
    return _resolver().find(name)


@functools.cache
def _resolver() -> NameResolver:
    return NameResolver(tuple(load_categories().values()))


def _thinned(items: list[Any], most: int) -> list[Any]:
    if len(items) <= most:
        return items
    return [items[index] for index in np.linspace(0, len(items) - 1, most).astype(int).tolist()]


def _opened(path: Path) -> Image.Image:
    try:
        return decode(path.read_bytes(), Decoding())
    except (OSError, UndecodableError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"{path} cannot be read: {reason}. Take it out of the reference folder.") from error


def _features(encoder: OpenClipClassifier, images: Iterator[Image.Image]) -> np.ndarray:
    """Return "images features", a batch at a time."""
    import torch

    parts, batch = [], []
    for image in images:
        batch.append(encoder.transform(image))
        if len(batch) == encoder.batch_size:
            parts.append(encoder.features(torch.stack(batch)).numpy())
            batch = []
    if batch:
        parts.append(encoder.features(torch.stack(batch)).numpy())
    return np.concatenate(parts)


def _table(
    evidence: Evidence,
    chosen: Sequence[int],
    files: Sequence[Path],
    nearest: np.ndarray,
    similarity: np.ndarray,
) -> pd.DataFrame:
    count = nearest.shape[1]
    columns = ["image_id", "category", "kind", "nuisance", "text"]
    table = evidence.images.iloc[list(chosen)][columns]
    table = table.loc[table.index.repeat(count)].reset_index(drop=True)
    found = [files[index] for index in nearest.ravel().tolist()]
    table["place"] = np.tile(np.arange(1, count + 1), len(chosen))
    table["reference"] = [f"{path.parent.name}/{path.name}" for path in found]
    table["reference_category"] = [_category(path.parent.name) or path.parent.name for path in found]
    table["similarity"] = similarity.ravel()
    return table.assign(is_prompted_category=table["reference_category"] == table["category"])[COLUMNS]
