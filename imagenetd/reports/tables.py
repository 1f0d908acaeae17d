"""The tables of a run, built from its score rows alone."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from imagenetd.records import Score
from imagenetd.scoring.counts import ALL
from imagenetd.scoring.statistics.intervals import (
    THESE_CATEGORIES,
    simultaneous_confidence,
    subset_difference,
    wilson_interval,
)
from imagenetd.store.csv_files import csv_text as csv_text
from imagenetd.store.folders import write_text_atomic

SETS = ("pool", "pool_accepted", "mined", "confirmation", "accepted")
"""Columns are in this order. `accepted` is the accepted part of `mined`."""

SLICE = ["model", "role", "kind", "nuisance"]
NUMBERS = ["accuracy", "num_images", "num_correct", "wilson_low", "wilson_high"]


def build_tables(
    scores: Sequence[Score],
    regimes: Mapping[str, tuple[str, float]] | None = None,
    relations: Mapping[str, str] | None = None,
    *,
    sizes: Sequence[Score] = (),
) -> dict[str, pd.DataFrame]:
    """Return the tables of a run under the names of their files.

    `overall`: targets by kind, totals first. `per_nuisance`: targets by nuisance. `surrogates`: surrogates
    and gate by kind, apart because a model that chose the images must not be ranked with those that did not.
    `yields`: how many images were hard, and how many of these passed quality control. All in the order of
    the score rows.

    Each table of models has one row for each model and slice, and for each set the columns
    `<set>_accuracy`, `<set>_num_images`, `<set>_num_correct`, `<set>_wilson_low`, `<set>_wilson_high`.
    `drop_mined` is pool minus mined. `drop_accepted` is pool minus accepted, where only those images of the
    pool count that pass the same gate, if this is known. Both have ends (`_low`, `_high`) as a set has against its
    own subset. `interval_for` says for which population all intervals of a row stand. A slice without images has
    accuracy NaN.

    Args:
        scores: Of all models.
        regimes: Name of a model -> its regime and chance level, which then stand in every row.
        relations: Name of a model -> what it is to the surrogates, which then stands in every row.
        sizes: One row for each set and slice with all its images; not given: those that count for the first model.
    """
    wide = widen(scores)
    if regimes is not None:
        for place, column in enumerate(("regime", "chance")):
            wide.insert(2 + place, column, [regimes[name][place] for name in wide["model"]])
    if relations is not None:
        wide.insert(2, "relation", [relations[name] for name in wide["model"]])
    is_target = wide["role"] == "target"
    is_nuisance = wide["nuisance"] != ALL
    return {
        "overall": wide[is_target & ~is_nuisance].reset_index(drop=True),
        "per_nuisance": wide[is_target & is_nuisance].reset_index(drop=True),
        "surrogates": wide[~is_target & ~is_nuisance].reset_index(drop=True),
        "yields": yields(sizes or scores),
    }


def widen(scores: Sequence[Score]) -> pd.DataFrame:
    """Return one row for each model and slice, with the numbers of all sets side by side and the drops."""
    frame = pd.DataFrame([asdict(score) for score in scores], columns=[*SLICE, "set", *NUMBERS])
    wide = frame[SLICE].drop_duplicates().reset_index(drop=True)
    for name in _sets_in(frame["set"]):
        numbers = frame.loc[frame["set"] == name, SLICE + NUMBERS]
        numbers = numbers.rename(columns={column: f"{name}_{column}" for column in NUMBERS})
        wide = wide.merge(numbers, on=SLICE, how="left", validate="one_to_one")
    if {"pool_accuracy", "mined_accuracy"} <= set(wide):
        _add_drop(wide, "drop_mined", "pool", "mined")
    if {"pool_accuracy", "accepted_accuracy"} <= set(wide):
        _add_drop(
            wide, "drop_accepted", "pool_accepted" if "pool_accepted_accuracy" in wide else "pool", "accepted"
        )
    return wide.assign(interval_for=THESE_CATEGORIES)


def _add_drop(wide: pd.DataFrame, column: str, start: str, end: str) -> None:
    """Add the drop from a set to its own subset, with its ends."""
    counts = (wide[f"{name}_{what}"] for name in (start, end) for what in ("num_correct", "num_images"))
    found = subset_difference(*(part.fillna(0).to_numpy(dtype=np.float64) for part in counts))
    wide[column], wide[f"{column}_low"], wide[f"{column}_high"] = found.value, found.low, found.high


def yields(scores: Sequence[Score]) -> pd.DataFrame:
    """Return for each slice how many images are in the pool, hard (mined) and accepted, and the shares.

    `hard_yield` is mined / pool and `acceptance` is accepted / mined, each with its Wilson interval, NaN
    where there is nothing to divide by. A set without score rows has no columns here.
    """
    first = [score for score in scores if score.model == scores[0].model]
    table = pd.DataFrame(
        list(dict.fromkeys((score.kind, score.nuisance) for score in first)), columns=["kind", "nuisance"]
    )
    for name in _sets_in({score.set for score in first}):
        if name not in ("pool_accepted", "confirmation"):
            table[f"num_{name}"] = [score.num_images for score in first if score.set == name]
    for column, part, whole in (("hard_yield", "mined", "pool"), ("acceptance", "accepted", "mined")):
        if {f"num_{part}", f"num_{whole}"} <= set(table):
            _add_share(table, column, table[f"num_{part}"].to_numpy(), table[f"num_{whole}"].to_numpy())
    return table.assign(interval_for=THESE_CATEGORIES)


def held_together(rows: pd.DataFrame, *, num_compared: int) -> pd.DataFrame:
    """Return rows that were chosen by their numbers, with Wilson intervals that hold for all compared rows at once."""
    level, found = simultaneous_confidence(num_compared), rows.copy()
    for name in _sets_in(
        [column.removesuffix("_accuracy") for column in rows if column.endswith("_accuracy")]
    ):
        counts = (
            rows[f"{name}_{what}"].fillna(0).to_numpy(np.float64) for what in ("num_correct", "num_images")
        )
        found[f"{name}_wilson_low"], found[f"{name}_wilson_high"] = wilson_interval(*counts, confidence=level)
    return found


@dataclass(frozen=True, slots=True)
class ExtremeYield:
    """The nuisance with the highest or lowest share of mined images."""

    nuisance: str
    hard_yield: float
    """Mined / pool."""
    low: float
    """End of an interval that holds for all compared nuisances at once: the data chose this one."""
    high: float
    num_pool: int


def extreme(cells: pd.DataFrame, *, highest: bool) -> ExtremeYield | None:
    """Return the cell of the highest or lowest `hard_yield`; None where no cell has one."""
    known = cells[cells["hard_yield"].notna()] if "hard_yield" in cells else cells.head(0)
    if known.empty:
        return None
    cell = known.loc[known["hard_yield"].idxmax() if highest else known["hard_yield"].idxmin()].to_dict()
    level = simultaneous_confidence(len(known))
    num_pool = int(cell["num_pool"])
    low, high = wilson_interval(int(cell["num_mined"]), num_pool, confidence=level)
    return ExtremeYield(cell["nuisance"], cell["hard_yield"], float(low), float(high), num_pool)


def cost(seconds: Mapping[str, float], num_images: Mapping[str, int]) -> dict[str, float | None]:
    """Return the seconds that one generated, one mined and one accepted image cost; None where there is none.

    A generated image costs its generation. A mined one also pays for the predictions, the mining, and all
    images that were not hard; an accepted one also for quality control and all images that were rejected.

    Args:
        seconds: Of each stage, also of stages that were skipped because they were done before.
        num_images: Of the sets `pool`, `mined` and, if there was quality control, `accepted`.
    """
    generated = ("prompts", "generate")
    mined = (*generated, "predict", "mine")
    paid = {
        "generated": ("pool", generated),
        "mined": ("mined", mined),
        "accepted": ("accepted", (*mined, "qc")),
    }
    return {
        f"seconds_per_{name}_image": _per_image(seconds, stages, num_images.get(counted, 0))
        for name, (counted, stages) in paid.items()
    }


def write_csv(frame: pd.DataFrame, path: Path) -> Path:
    """Write a table, numbers unrounded (so that it can be read back), absent ones empty."""
    write_text_atomic(path, csv_text(frame))
    return path


def _sets_in(names: Iterable[str]) -> list[str]:
    """Return the sets that occur, known ones first and in their order."""
    found = list(dict.fromkeys(names))
    return [name for name in SETS if name in found] + sorted(name for name in found if name not in SETS)


def _add_share(table: pd.DataFrame, column: str, part: np.ndarray, whole: np.ndarray) -> None:
    low, high = wilson_interval(part, whole)
    table[column] = np.where(whole == 0, math.nan, part / np.maximum(whole, 1))
    table[f"{column}_low"] = np.where(whole == 0, math.nan, low)
    table[f"{column}_high"] = np.where(whole == 0, math.nan, high)


def _per_image(seconds: Mapping[str, float], stages: tuple[str, ...], num_images: int) -> float | None:
    if not num_images or not set(stages) & set(seconds):  # the images of a dataset cost no generation
        return None
    return sum(seconds.get(stage, 0.0) for stage in stages) / num_images
