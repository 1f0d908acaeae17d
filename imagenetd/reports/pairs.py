"""Any two models on the images of one set: who is right where they differ, and how alike their mistakes are."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import scipy

from imagenetd.reports.evidence import ModelEvidence
from imagenetd.scoring.counts import rate_of
from imagenetd.scoring.statistics.intervals import (
    OTHER_CATEGORIES,
    THESE_IMAGES,
    clustered_difference,
    simultaneous_confidence,
)
from imagenetd.scoring.statistics.paired import (
    MIN_MISTAKES,
    PairCounts,
    kappa_interval,
    mcnemar_p_value,
    pair_counts,
    pair_differences,
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


def count_pairs(
    models: Sequence[ModelEvidence],
    members: np.ndarray,
    cluster: np.ndarray,
    pairs: tuple[np.ndarray, np.ndarray],
) -> PairCounts:
    """Return what the two models of each pair have right of the images that count for both.

    Args:
        models: Of all pairs.
        members: Bool "images": of these.
        cluster: Int "images": category or cell.
        pairs: Places of the first and of the second model of each.
    """
    correct, counted = (
        np.stack([m.correct[members] for m in models]),
        np.stack([m.counted[members] for m in models]),
    )
    return pair_counts(correct, counted, pairs, cluster=cluster[members])


def pair_table(
    models: Sequence[ModelEvidence],
    pairs: tuple[np.ndarray, np.ndarray],
    of_category: PairCounts,
    of_cell: PairCounts,
) -> pd.DataFrame:
    """Return one row for each pair of one set, on the images that count for both.

    Two models are told apart (`is_different`) where the test over categories and the interval over categories both
    say so. `is_different_these_categories` is McNemar's answer, which treats images as independent.
    """
    level, only_a, only_b, whole = (
        simultaneous_confidence(len(pairs[0])),
        of_category.only_a,
        of_category.only_b,
        of_category.images,
    )
    found = clustered_difference(only_a, whole, only_b, whole)
    together = clustered_difference(only_a, whole, only_b, whole, confidence=level)
    by_cell = pair_differences(of_cell)
    reach = scipy.special.stdtrit(by_cell.degrees_of_freedom, 0.975) * by_cell.error
    images, right_a, right_b = (
        part.sum(axis=0) for part in (whole, of_category.right_a, of_category.right_b)
    )
    value = rate_of(right_a, images).value - rate_of(right_b, images).value
    p_category = _p_of_categories(of_category)
    names = ("both", "only_a", "only_b", "neither")
    counted = {name: getattr(of_category, name).sum(axis=0).astype(np.int64) for name in names}
    p_value = mcnemar_p_value(counted["only_a"], counted["only_b"])
    q_value, q_category = adjusted_p_values(p_value), adjusted_p_values(p_category)
    columns = {
        **{"model_a": _names(models, pairs[0]), "model_b": _names(models, pairs[1])},
        **{"num_images": images.astype(np.int64), "num_categories": (whole > 0).sum(axis=0)},
        **{"both_right": counted["both"], "only_a": counted["only_a"], "only_b": counted["only_b"]},
        "both_wrong": counted["neither"],
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


def _p_of_categories(counts: PairCounts) -> np.ndarray:
    """Return the p-value of t over categories for each pair; NaN with one category."""
    found = pair_differences(counts)
    p_value = 2 * scipy.special.stdtr(found.degrees_of_freedom, -np.abs(found.difference) / found.error)
    return np.where((counts.images > 0).sum(axis=0) < 2, np.nan, p_value)


def consistency_table(
    models: Sequence[ModelEvidence], pairs: tuple[np.ndarray, np.ndarray], counts: PairCounts
) -> pd.DataFrame:
    """Return one row for each pair of one set, whatever their roles; `note` says why a kappa is withheld."""
    sums = (counts.images, counts.right_a, counts.right_b, counts.both)
    images, right_a, right_b, both = (part.sum(axis=0) for part in sums)
    found = kappa_interval(*sums)
    num_measured = int(np.isfinite(found.value).sum())
    together = kappa_interval(*sums, confidence=simultaneous_confidence(num_measured))
    p, q, alike = (rate_of(part, images).value for part in (right_a, right_b, both))
    about = {
        f"{what}_{side}": _names(models, index, attribute)
        for side, index in zip("ab", pairs, strict=True)
        for what, attribute in (("model", "name"), ("role", "role"), ("family", "family"))
    }
    few = f"not measurable: fewer than {MIN_MISTAKES} mistakes or right answers of one of the two"
    rarest = np.minimum.reduce([right_a, images - right_a, right_b, images - right_b])
    unknown = np.where(np.isnan(found.value), "not measurable: one category", "")
    numbers = {
        **{"num_images": images.astype(np.int64), "num_categories": (counts.images > 0).sum(axis=0)},
        **{"agreement": 1 - p - q + 2 * alike},
        **{"expected_agreement": p * q + (1 - p) * (1 - q), "agreement_for": THESE_IMAGES},
        **{"kappa": found.value, "kappa_low": found.low, "kappa_high": found.high},
        **{"kappa_low_simultaneous": together.low, "kappa_high_simultaneous": together.high},
        "kappa_for": OTHER_CATEGORIES,
        "note": np.where(rarest < MIN_MISTAKES, few, unknown),
    }
    return pd.DataFrame(about | numbers)


def _names(models: Sequence[ModelEvidence], index: np.ndarray, attribute: str = "name") -> list[str]:
    return [getattr(models[place], attribute) for place in index.tolist()]
