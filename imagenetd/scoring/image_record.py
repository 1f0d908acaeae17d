"""The record of an evaluation: for every image and model its answers, and whether they are right under each regime."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from imagenetd.records import Kind, LabelSpace
from imagenetd.scoring import labelspaces as ls
from imagenetd.scoring.answer_table import Answers
from imagenetd.scoring.metrics import ALL
from imagenetd.scoring.statistics.intervals import THESE_CATEGORIES, wilson_interval
from imagenetd.words.imagenet import NUM_CLASSES, load_classes

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

    Every table, page and export of a run names classes by this function.
    """
    if space.class_names is not None:
        return tuple(space.class_names)
    owner = {index: name for name, ids in space.accepted.items() for index in ids}
    words = [entry.name for entry in load_classes()] if space.num_classes == NUM_CLASSES else []
    spare = words or [f"class {index}" for index in range(space.num_classes)]
    return tuple(owner.get(index, spare[index]) for index in range(space.num_classes))


def model_record(
    name: str, role: str, answers: Answers, images: pd.DataFrame
) -> tuple[pd.DataFrame, list[ls.Regime]]:
    """Return one row for each image, and the regimes that its columns `correct_*` and `top5_*` are about.

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
    regimes = list(scoring.regimes)
    if scoring.has_rivals:
        frame[f"correct_{ls.TWO_CHOICE}"] = frame[f"correct_{ls.TWO_CHOICE}"].astype("boolean")
        regimes.append(ls.Regime(ls.TWO_CHOICE, None, np.array([[True, False]])))
    return frame, regimes


def regime_rows(frame: pd.DataFrame, regimes: Sequence[ls.Regime]) -> pd.DataFrame:
    """Return the accuracies of one model: in total, and by kind, under each regime and as the public script counts.

    The neutral prompt is a control arm: it has its own row and does not count in the total.
    """
    kinds = list(dict.fromkeys(frame["kind"]))
    slices = {ALL: (frame["kind"] != Kind.NEUTRAL).to_numpy()}
    slices |= {kind: (frame["kind"] == kind).to_numpy() for kind in kinds if len(kinds) > 1}
    rows = []
    for regime in regimes:
        for kind, members in slices.items():
            part = frame[members]
            rows.append(_row(part, regime, kind, regime.name, f"top5_{regime.name}"))
            if regime.name == ls.ANY_OF_IDS:
                rows.append(_row(part, regime, kind, ls.COMPAT, "compat_top5_hits"))
    table = pd.DataFrame(rows, columns=list(REGIME_COLUMNS)).astype(REGIME_COLUMNS)
    return table.sort_values("regime", key=lambda names: names == ls.COMPAT, kind="stable", ignore_index=True)


def _row(part: pd.DataFrame, regime: ls.Regime, kind: str, name: str, top5: str) -> dict[str, Any]:
    known = part[part[f"correct_{regime.name}"].notna()]
    right = int(known[f"correct_{regime.name}"].sum())
    low, high = wilson_interval(np.array([right]), np.array([len(known)]))
    first = part.iloc[0] if len(part) else {"model": "", "role": ""}
    return {
        "model": first["model"],
        "role": first["role"],
        "regime": name,
        "num_choices": regime.num_choices,
        "chance": regime.chance,
        "kind": kind,
        "num_images": len(known),
        "num_correct": right,
        "top1": right / len(known) if len(known) else np.nan,
        "wilson_low": float(low[0]),
        "wilson_high": float(high[0]),
        "top5": float(known[top5].sum()) / len(known) if top5 in known and len(known) else np.nan,
    }


def with_ends(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with the Wilson interval of the top-5 accuracy, and for which population intervals stand.

    The public script counts an image once for each of its ids: that number is no share and has no interval.
    """
    is_share = (table["top5"].notna() & (table["regime"] != ls.COMPAT)).to_numpy()
    images = np.where(is_share, table["num_images"], 0)
    right = np.where(is_share, np.rint(table["top5"].fillna(0) * table["num_images"]), 0).astype(np.int64)
    low, high = wilson_interval(right, images)
    ends = {"top5_low": np.where(is_share, low, np.nan), "top5_high": np.where(is_share, high, np.nan)}
    return table.assign(**ends, interval_for=THESE_CATEGORIES)
