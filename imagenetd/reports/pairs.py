"""Any two models on the images of one set: who is right where they differ, and how alike their mistakes are."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from imagenetd.reports.design import Design, share
from imagenetd.reports.evidence import ModelEvidence
from imagenetd.statistics.bootstrap import interval_of
from imagenetd.statistics.paired import error_consistency, mcnemar_p_value, pair_sums
from imagenetd.statistics.power import POWER_REACH
from imagenetd.statistics.strata import adjusted_p_values

PAIR_COLUMNS = [
    *(
        "set",
        "label_space",
        "model_a",
        "model_b",
        "num_images",
        "both_right",
        "only_a",
        "only_b",
        "both_wrong",
    ),
    *("difference", "low_by_category", "high_by_category", "low_by_cell", "high_by_cell"),
    *("detectable_difference", "mcnemar_p", "mcnemar_q", "is_different"),
]
CONSISTENCY_COLUMNS = [
    *("set", "model_a", "role_a", "family_a", "model_b", "role_b", "family_b", "num_images"),
    *("agreement", "expected_agreement", "kappa", "kappa_low", "kappa_high"),
]


@dataclass(frozen=True, slots=True)
class PairCounts:
    """Sums of one set for each category that has images."""

    images: np.ndarray
    """Float "categories"."""
    both: np.ndarray
    """Float "categories models models": images on which both are right."""

    @classmethod
    def of(cls, design: Design, row: int) -> "PairCounts":
        """Count the images of a set without the control arm."""
        chosen = design.evidence.sets[design.sets[row]] & ~design.is_control[design.cell_of_image]
        cluster = design.cells["category_code"].to_numpy()[design.cell_of_image[chosen]]
        correct = np.stack([model.correct[chosen] for model in design.evidence.models])
        both = pair_sums(correct, cluster, len(design.categories))
        images = np.bincount(cluster, minlength=len(design.categories)).astype(np.float64)
        return cls(images[images > 0], both[images > 0])


def pair_table(
    models: Sequence[ModelEvidence],
    counts: PairCounts,
    drawn: tuple[np.ndarray, np.ndarray],
    first: np.ndarray,
    second: np.ndarray,
) -> pd.DataFrame:
    """Return one row for each pair of one set; `drawn` are the resamples over categories and over cells."""
    size, total, images = len(models), counts.both.sum(axis=0), counts.images.sum()
    alone = np.diag(total)
    both, only_a = total[first, second], alone[first] - total[first, second]
    only_b = alone[second] - both
    value = (only_a - only_b) / images
    by_category, by_cell = drawn
    diagonal = 1 + np.arange(size) * (size + 1)
    gap = share(by_category[:, diagonal[first]] - by_category[:, diagonal[second]], by_category[:, :1])
    found = interval_of(value, gap, num_clusters=len(counts.images), bounds=(-1.0, 1.0))
    gap = share(by_cell[:, 1 + first] - by_cell[:, 1 + second], by_cell[:, :1])
    cells = interval_of(value, gap, num_clusters=int(images), bounds=(-1.0, 1.0))
    p_value = mcnemar_p_value(np.rint(only_a).astype(np.int64), np.rint(only_b).astype(np.int64))
    q_value = adjusted_p_values(p_value)
    columns = {
        **{"model_a": _names(models, first), "model_b": _names(models, second), "num_images": int(images)},
        **{
            "both_right": both,
            "only_a": only_a,
            "only_b": only_b,
            "both_wrong": images - both - only_a - only_b,
        },
        **{"difference": value, "low_by_category": found.low, "high_by_category": found.high},
        **{"low_by_cell": cells.low, "high_by_cell": cells.high},
        "detectable_difference": np.minimum(1.0, POWER_REACH * np.fmax(found.error, cells.error)),
        **{"mcnemar_p": p_value, "mcnemar_q": q_value, "is_different": q_value < 0.05},
    }
    counted = ["both_right", "only_a", "only_b", "both_wrong"]
    return pd.DataFrame(columns).astype(dict.fromkeys(counted, np.int64))


def consistency_table(models: Sequence[ModelEvidence], counts: PairCounts, drawn: np.ndarray) -> pd.DataFrame:
    """Return one row for each pair of one set, whatever their roles."""
    size, total = len(models), counts.both.sum(axis=0)
    first, second = np.triu_indices(size, 1)
    images, alone = counts.images.sum(), np.diag(total)
    both = total[first, second]
    kappa = error_consistency(np.full(len(first), images), alone[first], alone[second], both)
    diagonal = 1 + np.arange(size) * (size + 1)
    columns = (diagonal[first], diagonal[second], 1 + first * size + second)
    moved = error_consistency(drawn[:, :1], *(drawn[:, column] for column in columns))
    found = interval_of(kappa, moved, num_clusters=len(counts.images), bounds=(-1.0, 1.0))
    p, q = alone[first] / images, alone[second] / images
    about = {
        f"{what}_{side}": _names(models, index, attribute)
        for side, index in (("a", first), ("b", second))
        for what, attribute in (("model", "name"), ("role", "role"), ("family", "family"))
    }
    numbers = {
        **{"num_images": int(images), "agreement": 1 - p - q + 2 * both / images},
        **{"expected_agreement": p * q + (1 - p) * (1 - q)},
        **{"kappa": kappa, "kappa_low": found.low, "kappa_high": found.high},
    }
    return pd.DataFrame(about | numbers)


def _names(models: Sequence[ModelEvidence], index: np.ndarray, attribute: str = "name") -> list[str]:
    return [getattr(models[place], attribute) for place in index.tolist()]
