"""Any two models on the images of one set: who is right where they differ, and how alike their mistakes are."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy

from imagenetd.reports.design import Design
from imagenetd.reports.evidence import ModelEvidence
from imagenetd.scoring.statistics.intervals import (
    OTHER_CATEGORIES,
    THESE_IMAGES,
    clustered_difference,
    simultaneous_confidence,
)
from imagenetd.scoring.statistics.paired import (
    MIN_MISTAKES,
    kappa_interval,
    mcnemar_p_value,
    model_differences,
    pair_sums,
)
from imagenetd.scoring.statistics.power import POWER_REACH
from imagenetd.scoring.statistics.strata import adjusted_p_values

LEVEL = 0.05
"""Accepted rate of false discoveries among the pairs that are told apart."""
PAIR_COLUMNS = [
    *("set", "label_space", "model_a", "model_b", "num_images", "num_categories"),
    *("both_right", "only_a", "only_b", "both_wrong"),
    *("difference", "low_by_category", "high_by_category", "low_simultaneous", "high_simultaneous"),
    *("by_category_for", "low_by_cell", "high_by_cell", "by_cell_for", "detectable_difference"),
    *("mcnemar_p", "mcnemar_q", "is_different_these_categories"),
    *("p_other_categories", "q_other_categories", "is_different"),
]
CONSISTENCY_COLUMNS = [
    *(
        "set",
        "model_a",
        "role_a",
        "family_a",
        "model_b",
        "role_b",
        "family_b",
        "num_images",
        "num_categories",
    ),
    *("agreement", "expected_agreement", "agreement_for", "kappa", "kappa_low", "kappa_high"),
    *("kappa_low_simultaneous", "kappa_high_simultaneous", "kappa_for", "note"),
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
    cells: tuple[np.ndarray, np.ndarray],
    first: np.ndarray,
    second: np.ndarray,
) -> pd.DataFrame:
    """Return one row for each pair of one set; `cells` are images, "cells", and right answers, "cells models".

    Two models are told apart (`is_different`) where the test over categories and the interval over categories both
    say so. `is_different_these_categories` is McNemar's answer, which treats images as independent.
    """
    size, images, level = len(models), counts.images.sum(), simultaneous_confidence(len(first))
    alone = counts.both[:, np.arange(size), np.arange(size)]
    both = counts.both[:, first, second]
    only_a, only_b = alone[:, first] - both, alone[:, second] - both
    whole = counts.images[:, None]
    found = clustered_difference(only_a, whole, only_b, whole)
    together = clustered_difference(only_a, whole, only_b, whole, confidence=level)
    gap = cells[1][:, first], cells[1][:, second]
    by_cell = model_differences(cells[1], cells[0])
    reach = scipy.special.stdtrit(by_cell.degrees_of_freedom, 0.975) * by_cell.error[first, second]
    value = np.asarray((gap[0] - gap[1]).sum(axis=0) / images)
    p_category = _p_of_categories(alone, counts.images)[first, second]
    totals = {"both_right": both, "only_a": only_a, "only_b": only_b}
    counted = {name: np.rint(part.sum(axis=0)).astype(np.int64) for name, part in totals.items()}
    p_value = mcnemar_p_value(counted["only_a"], counted["only_b"])
    q_value, q_category = adjusted_p_values(p_value), adjusted_p_values(p_category)
    columns = {
        **{"model_a": _names(models, first), "model_b": _names(models, second), "num_images": int(images)},
        **{"num_categories": len(counts.images)},
        **counted,
        "both_wrong": int(images) - np.sum([*counted.values()], axis=0),
        **{"difference": value, "low_by_category": found.low, "high_by_category": found.high},
        **{"low_simultaneous": together.low, "high_simultaneous": together.high},
        **{"low_by_cell": np.maximum(value - reach, -1.0), "high_by_cell": np.minimum(value + reach, 1.0)},
        "detectable_difference": np.minimum(1.0, POWER_REACH * np.fmax(found.error, reach / 1.96)),
        **{"mcnemar_p": p_value, "mcnemar_q": q_value, "is_different_these_categories": q_value < LEVEL},
        **{"p_other_categories": p_category, "q_other_categories": q_category},
        "is_different": (q_category < LEVEL) & ((found.low > 0) | (found.high < 0)),
        **{"by_category_for": OTHER_CATEGORIES, "by_cell_for": "other cells (category and nuisance)"},
    }
    return pd.DataFrame(columns)


def _p_of_categories(num_correct: np.ndarray, num_images: np.ndarray) -> np.ndarray:
    """Return the p-value "models models" of t over categories; NaN with one category."""
    if len(num_images) < 2:
        return np.full((num_correct.shape[1],) * 2, np.nan)
    found = model_differences(num_correct, num_images)
    return 2 * scipy.special.stdtr(found.degrees_of_freedom, -np.abs(found.difference) / found.error)


def consistency_table(models: Sequence[ModelEvidence], counts: PairCounts) -> pd.DataFrame:
    """Return one row for each pair of one set, whatever their roles; `note` says why a kappa is withheld."""
    size, total = len(models), counts.both.sum(axis=0)
    first, second = np.triu_indices(size, 1)
    images, right = counts.images.sum(), np.diag(total)
    alone = counts.both[:, np.arange(size), np.arange(size)]
    sums = (counts.images, alone[:, first], alone[:, second], counts.both[:, first, second])
    found = kappa_interval(*sums)
    num_measured = int(np.isfinite(found.value).sum())
    together = kappa_interval(*sums, confidence=simultaneous_confidence(num_measured))
    p, q = right[first] / images, right[second] / images
    about = {
        f"{what}_{side}": _names(models, index, attribute)
        for side, index in (("a", first), ("b", second))
        for what, attribute in (("model", "name"), ("role", "role"), ("family", "family"))
    }
    rarer = np.minimum(right, images - right)
    few = f"not measurable: fewer than {MIN_MISTAKES} mistakes or right answers of one of the two"
    is_few = np.minimum(rarer[first], rarer[second]) < MIN_MISTAKES
    numbers = {
        **{"num_images": int(images), "num_categories": len(counts.images)},
        **{"agreement": 1 - p - q + 2 * total[first, second] / images},
        **{"expected_agreement": p * q + (1 - p) * (1 - q), "agreement_for": THESE_IMAGES},
        **{"kappa": found.value, "kappa_low": found.low, "kappa_high": found.high},
        **{"kappa_low_simultaneous": together.low, "kappa_high_simultaneous": together.high},
        "kappa_for": OTHER_CATEGORIES,
        "note": np.where(is_few, few, np.where(np.isnan(found.value), "not measurable: one category", "")),
    }
    return pd.DataFrame(about | numbers)


def _names(models: Sequence[ModelEvidence], index: np.ndarray, attribute: str = "name") -> list[str]:
    return [getattr(models[place], attribute) for place in index.tolist()]
