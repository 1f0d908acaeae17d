"""The record of an evaluation: for every image and model its answers, and whether they are right under each regime."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from imagenetd.records import LabelSpace
from imagenetd.scoring import labelspaces as ls
from imagenetd.scoring.answer_table import Answers, Scoring
from imagenetd.scoring.counts import ALL, MODEL, POOL, Mark, accuracy_by, rate_of, without_control
from imagenetd.scoring.statistics.intervals import THESE_CATEGORIES
from imagenetd.words.imagenet import NUM_CLASSES, category_title, load_classes

REGIME_COLUMNS = {
    "model": "str",
    "role": "str",
    "regime": "str",
    "num_choices": "int64",
    "chance": "float64",
    "kind": "str",
    "num_images": "int64",
    "num_correct": "int64",
    "top1": "float64",
    "wilson_low": "float64",
    "wilson_high": "float64",
    "top5": "float64",
}
"""One row for each model, regime and kind. `compat` is the public script's arithmetic: its top-5 can exceed 1."""


def class_labels(space: LabelSpace) -> list[str]:
    """Return what stands in `pred1` .. `pred5` for each class: its ImageNet id, or the category's key."""
    return (
        list(space.class_names) if space.class_names else [str(index) for index in range(space.num_classes)]
    )


def class_titles(space: LabelSpace) -> tuple[str, ...]:
    """Return a name for each class: its own, else the category that accepts it, else ImageNet's, else its number.

    A class or category that goes by its WordNet id has the name that ImageNet gives it.
    Every table, page and export of a run names classes by this function.
    """
    if space.class_names is not None:
        return tuple(category_title(name) for name in space.class_names)
    owner = {index: category_title(name) for name, ids in space.accepted.items() for index in ids}
    words = [entry.name for entry in load_classes()] if space.num_classes == NUM_CLASSES else []
    spare = words or [f"class {index}" for index in range(space.num_classes)]
    return tuple(owner.get(index, spare[index]) for index in range(space.num_classes))


def model_record(name: str, role: str, answers: Answers, images: pd.DataFrame) -> pd.DataFrame:
    """Return one row for each image: its answers, and right or wrong under each regime.

    Args:
        name: Of the model.
        role: Of the model.
        answers: In the order of `images`.
        images: The table of a pool or dataset.
    """
    scoring, table = answers.scoring, answers.table
    labels, titles = np.array(class_labels(scoring.space)), np.array(class_titles(scoring.space))
    columns: dict[str, Any] = {
        "model": name,
        "role": role,
        "image": (images["file"] if "file" in images else images["image_id"]).to_numpy(),
        **{column: images[column].to_numpy() for column in ("category", "kind", "nuisance")},
    }
    if "severity" in images and images["severity"].any():
        columns["severity"] = images["severity"].to_numpy()
    columns |= {f"pred{rank + 1}": labels[classes] for rank, classes in enumerate(answers.top.T)}
    columns |= {"pred1_name": titles[answers.predicted], "margin": answers.column("margin")}
    shares = [column for column in table.column_names if column.startswith(("correct_", "top5_", "compat_"))]
    frame = pd.DataFrame(columns | {column: table[column].to_pandas() for column in shares})
    if scoring.space.leaves_out:  # an image without an answer does not count
        own = f"correct_{scoring.space.regime}"
        frame[own] = frame[own].astype("boolean").where(answers.counted)
    if scoring.has_rivals:
        frame[f"correct_{ls.TWO_CHOICE}"] = frame[f"correct_{ls.TWO_CHOICE}"].astype("boolean")
    return frame


def marks_of(
    name: str, role: str, answers: Answers, *, twins: tuple[np.ndarray, np.ndarray] | None = None
) -> list[Mark]:
    """Return what is counted of a model: each of its regimes, and `compat`, the public script's arithmetic.

    Args:
        name: Of the model.
        role: Of the model.
        answers: To the images of a pool.
        twins: Right and counted on images that stand behind the pool's, under the model's own regime.
    """
    on_twins, counted_twins = twins or (np.zeros(0, dtype=bool), np.zeros(0, dtype=bool))
    names = [regime.name for regime in answers.scoring.regimes]
    nothing = np.zeros(len(on_twins), dtype=bool)
    marks = [
        Mark(
            name,
            role,
            regime,
            np.append(answers.column(f"correct_{regime}"), nothing if row else on_twins),
            np.append(answers.counted, nothing if row else counted_twins),
            _hits(answers, f"top5_{regime}", nothing),
            is_own=not row,
        )
        for row, regime in enumerate(names)
    ]
    if answers.scoring.has_rivals:
        right = answers.table[f"correct_{ls.TWO_CHOICE}"]
        known = np.asarray(right.is_valid())
        right = np.asarray(right.fill_null(False))
        counted = np.append(known, nothing)
        marks.append(Mark(name, role, ls.TWO_CHOICE, np.append(right, nothing), counted, is_own=False))
    if (found := _hits(answers, "compat_top5_hits", nothing)) is not None:
        marks.append(replace(marks[0], regime=ls.COMPAT, top5=found, is_own=False))
    return marks


def _hits(answers: Answers, column: str, behind: np.ndarray) -> np.ndarray | None:
    if column not in answers.table.column_names:
        return None
    return np.append(answers.column(column).astype(np.int64), behind)


def regimes_of(scoring: Scoring) -> dict[str, ls.Regime]:
    """Return every regime that `marks_of` counts, by name."""
    found = {regime.name: regime for regime in scoring.regimes}
    if scoring.has_rivals:
        found[ls.TWO_CHOICE] = ls.Regime(ls.TWO_CHOICE, None, np.array([[True, False]]))
    if ls.ANY_OF_IDS in found:
        found[ls.COMPAT] = found[ls.ANY_OF_IDS]
    return found


def regime_rows(counts: pd.DataFrame, regimes: Mapping[str, Mapping[str, ls.Regime]]) -> pd.DataFrame:
    """Return the accuracies over the pool: in total, and by kind, under each regime and as the public script counts.

    The neutral prompt is a control arm: it has its own row and does not count in the total.

    Args:
        counts: From `count_answers`.
        regimes: Model -> its regimes by name.
    """
    pool, by = counts[counts["set"] == POOL], [*MODEL, "regime"]
    levels = [accuracy_by(without_control(pool), by).assign(kind=ALL)]
    if pool["kind"].nunique() > 1:
        levels.append(accuracy_by(pool, [*by, "kind"]))
    table = pd.concat(levels, ignore_index=True)
    places = [
        {name: n for n, name in enumerate(dict.fromkeys(pool[column]))} for column in ("model", "regime")
    ]
    first = table["model"].map(places[0]) * len(places[1]) + table["regime"].map(places[1])
    table = table.loc[first.sort_values(kind="stable").index]
    of_row = [regimes[row.model][row.regime] for row in table.itertuples()]
    table = table.assign(
        num_choices=[regime.num_choices for regime in of_row],
        chance=[regime.chance for regime in of_row],
        top1=table["accuracy"],
    )
    return table[list(REGIME_COLUMNS)].astype(REGIME_COLUMNS).reset_index(drop=True)


def with_ends(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with the Wilson interval of the top-5 accuracy, and for which population intervals stand.

    The public script counts an image once for each of its ids: that number is no share and has no interval.
    """
    is_share = (table["top5"].notna() & (table["regime"] != ls.COMPAT)).to_numpy()
    images = np.where(is_share, table["num_images"], 0)
    right = np.where(is_share, np.rint(table["top5"].fillna(0) * table["num_images"]), 0).astype(np.int64)
    found = rate_of(right, images)
    ends = {
        "top5_low": np.where(is_share, found.low, np.nan),
        "top5_high": np.where(is_share, found.high, np.nan),
    }
    return table.assign(**ends, interval_for=THESE_CATEGORIES)
