"""The report `wording`: how far a cell's failures move with the words of its prompt, a nuisance that has no name."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from imagenetd.reports.design import SET_WORDS, Design, group_sums
from imagenetd.reports.evidence import Evidence, ModelEvidence, ReportResult
from imagenetd.reports.report_set import Report, ReportSet
from imagenetd.scoring.counts import accuracy_by, count_answers, rate_of, tally, without_control
from imagenetd.scoring.statistics.intervals import (
    OTHER_CATEGORIES,
    THESE_CATEGORIES,
    clustered_difference,
    simultaneous_confidence,
)
from imagenetd.scoring.statistics.wording import wording_effect
from imagenetd.store.numerals import counted, percent_interval

INDEX = "template_index"
POPULATION = f"{OTHER_CATEGORIES}, these wordings"
EFFECT_COLUMNS = [
    *(
        "model",
        "set",
        "sd",
        "sd_low",
        "sd_high",
        "sd_as_seen",
        "share_within_cell",
        "share_low",
        "share_high",
    ),
    *("num_images", "num_cells", "num_categories", "interval_for"),
]
WORDING_COLUMNS = [
    *(
        "model",
        "set",
        "wording",
        "example",
        "num_images",
        "num_correct",
        "accuracy",
        "wilson_low",
        "wilson_high",
    ),
    *("wilson_for", "num_compared", "vs_first", "vs_first_low", "vs_first_high", "vs_first_for"),
]


@dataclass(frozen=True, slots=True)
class WordingReport(Report):
    """How far the failure rate of a cell moves with its wording, and every wording against the first one."""

    name: ClassVar[str] = "wording"

    def report(self, evidence: Evidence) -> ReportResult:
        """Return `effect` (one row a target and set) and, where wordings have numbers, `wordings` (one row each).

        The sets are the pool and, where it was judged, what passes: a wording that a generator does not understand
        makes images without their object, which the gate takes out.
        """
        design = Design(evidence)
        wording = _wording_of_image(design)
        asked = [
            (model, set_)
            for model in evidence.of_role("target")
            for set_ in dict.fromkeys(["pool", evidence.judged])
        ]
        effects = pd.DataFrame(
            [_effect_row(design, model, wording, set_) for model, set_ in asked], columns=EFFECT_COLUMNS
        )
        tables = {"effect": effects}
        if _has_numbers(evidence.images):
            rows = [row for model, set_ in asked for row in _wording_rows(design, model, wording, set_)]
            tables["wordings"] = pd.DataFrame(rows, columns=WORDING_COLUMNS)
        return ReportResult(self.name, tables, tuple(_findings(tables)), _summary(effects))


def with_wording(chosen: ReportSet, images: pd.DataFrame) -> ReportSet:
    """Return the reports, and the one on wording where the cells of a pool were drawn in several."""
    if not _has_numbers(images):
        return chosen
    return dataclasses.replace(chosen, reports={WordingReport.name: WordingReport()} | dict(chosen.reports))


def _has_numbers(images: pd.DataFrame) -> bool:
    return INDEX in images and images[INDEX].nunique() > 1


def _wording_of_image(design: Design) -> np.ndarray:
    """Return int "images": the number of its wording; of its text within the cell where prompts were made elsewhere."""
    images = design.evidence.images
    if _has_numbers(images):
        return images[INDEX].to_numpy(dtype=np.int64)
    text, _ = pd.factorize(images["text"])
    cells = pd.DataFrame({"cell": design.cell_of_image, "text": text}).drop_duplicates()
    numbers = cells.assign(number=cells.groupby("cell").cumcount()).set_index(["cell", "text"])["number"]
    return numbers.loc[list(zip(design.cell_of_image, text, strict=True))].to_numpy()


def _counts(
    design: Design, model: ModelEvidence, wording: np.ndarray, set_: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return "cells wordings" of a set's images and of right ones, and the cells' categories; no control arm."""
    size = int(wording.max(initial=0)) + 1
    found = tally(
        [model.mark],
        design.cell_of_image * size + wording,
        len(design.cells) * size,
        among=design.evidence.sets[set_],
    )
    kept = ~design.is_control
    images, right = (part.reshape(-1, size)[kept] for part in (found.num_images[0], found.num_correct[0]))
    return images, right, design.cells["category_code"].to_numpy()[kept]


def _effect_row(design: Design, model: ModelEvidence, wording: np.ndarray, set_: str) -> list[object]:
    images, right, category = _counts(design, model, wording, set_)
    found = wording_effect((images - right).astype(np.float64), images.astype(np.float64), category)
    spread = [float(part) for part in (found.sd.value, found.sd.low, found.sd.high)]
    part = [float(part) for part in (found.share.value, found.share.low, found.share.high)]
    sizes = [found.num_images, found.num_cells, found.num_categories]
    return [model.name, set_, *spread, found.sd_as_seen, *part, *sizes, POPULATION]


def _wording_rows(
    design: Design, model: ModelEvidence, wording: np.ndarray, set_: str
) -> Iterator[list[object]]:
    """Yield accuracy of each wording, and its difference from the first one in the cells that have both.

    The intervals of the differences hold for all wordings of a model at once.
    """
    evidence = design.evidence
    members = evidence.sets[set_]
    numbers = np.unique(wording[members])
    counts = count_answers(
        evidence.images, [model.mark], {str(number): members & (wording == number) for number in numbers}
    )
    table = accuracy_by(without_control(counts), ["set"]).set_index("set")
    images, right, category = _counts(design, model, wording, set_)
    confidence = simultaneous_confidence(len(numbers) - 1)
    for number in numbers.tolist():
        row = table.loc[str(number)]
        plain = [int(row[name]) for name in ("num_images", "num_correct")]
        rate = [float(row[name]) for name in ("accuracy", "wilson_low", "wilson_high")]
        example = evidence.images["text"].to_numpy()[np.flatnonzero(members & (wording == number))[0]]
        both = (images[:, number] > 0) & (images[:, numbers[0]] > 0)
        compared = int(images[both, number].sum())
        change: list[object] = [np.nan, np.nan, np.nan]
        if number != numbers[0] and compared:
            # The first wording with as many images in each cell as this one: the same mix of cells on both sides.
            own, first = right[:, number], rate_of(right[:, numbers[0]], images[:, numbers[0]]).value
            sums = [
                group_sums(np.where(both, part, 0.0), category, len(design.categories))
                for part in (own, images[:, number], first * images[:, number], images[:, number])
            ]
            found = clustered_difference(*sums, confidence=confidence)
            change = [float(found.value), float(found.low), float(found.high)]
        yield [
            *(model.name, set_, number, example, *plain, *rate, THESE_CATEGORIES),
            *(compared, *change, f"{OTHER_CATEGORIES}, all wordings at once"),
        ]


def _summary(effects: pd.DataFrame) -> dict[str, dict[str, object]]:
    kept = ["sd", "sd_low", "sd_high", "num_images", "num_cells"]
    found: dict[str, dict[str, object]] = {}
    for row in effects.to_dict("records"):
        found.setdefault(str(row["model"]), {})[str(row["set"])] = {name: row[name] for name in kept}
    return found


def _findings(tables: dict[str, pd.DataFrame]) -> Iterator[str]:
    for row in tables["effect"].to_dict("records"):
        about = f"{row['model']}, {SET_WORDS[row['set']]}"
        if not row["num_cells"]:
            yield (
                f"{about}: nothing is known of the wording: no cell has two wordings with two images each. Draw with "
                "prompts=wordings and num_images_per_cell=12 or more."
            )
            continue
        yield (
            f"{about}: the failure rate of a cell moves with its wording by {100 * row['sd']:.0f} points "
            f"{percent_interval(row['sd_low'], row['sd_high'])} (standard deviation over the wordings of a cell; "
            f"{100 * row['sd_as_seen']:.0f} as seen, with what the seeds do), for {POPULATION}; "
            f"{counted(row['num_images'], 'image')} of {counted(row['num_cells'], 'cell')}."
        )
    if "wordings" in tables:
        yield from _wording_findings(tables["wordings"])


def _wording_findings(table: pd.DataFrame) -> Iterator[str]:
    """Yield for each model and set the wording that lies furthest from the first."""
    for (model, set_), rows in table.dropna(subset=["vs_first"]).groupby(["model", "set"], sort=False):
        row = rows.loc[rows["vs_first"].abs().idxmax()]
        yield (
            f"{model}, {SET_WORDS[str(set_)]}: of {counted(len(rows) + 1, 'wording')} number {row['wording']} "
            f"(e.g. {row['example']!r}) lies furthest from the first: {100 * row['vs_first']:+.1f} points right "
            f"{percent_interval(row['vs_first_low'], row['vs_first_high'], digits=1, signed=True)} on "
            f"{counted(row['num_compared'], 'image')}, for {row['vs_first_for']}."
        )
