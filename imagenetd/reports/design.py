"""A pool as numbers: codes of categories, nuisances and cells, and counts of right answers in every cell."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from imagenetd.records import Kind
from imagenetd.reports.evidence import Evidence, ModelEvidence
from imagenetd.scoring.statistics.bootstrap import ratio

ALL = "all"
SET_WORDS = {
    "pool": "pool",
    "pool_accepted": "pool that passes quality control",
    "mined": "mined images",
    "accepted": "accepted hard images",
}
"""Set -> what sentences call it."""


@dataclass(frozen=True)
class Design:
    """The cells of a pool, and how many answers are right in each."""

    evidence: Evidence

    @cached_property
    def cells(self) -> pd.DataFrame:
        """One row for each cell (kind, nuisance, category), in order of appearance, with integer codes.

        `category_code` and `nuisance_code` are positions in `categories` and `nuisances`.
        """
        return self._coded[0]

    @cached_property
    def cell_of_image(self) -> np.ndarray:
        """Int "images": row of `cells`."""
        return self._coded[1]

    @cached_property
    def _coded(self) -> tuple[pd.DataFrame, np.ndarray]:
        images = self.evidence.images
        kind_code, kinds = pd.factorize(images["kind"])
        word_code, words = pd.factorize(images["nuisance"])
        category_code, categories = pd.factorize(images["category"])
        pair_code, pairs = pd.factorize(kind_code.astype(np.int64) * len(words) + word_code)
        cell_code, combined = pd.factorize(pair_code.astype(np.int64) * len(categories) + category_code)
        nuisance_code, of_category = np.divmod(combined, len(categories))
        cells = pd.DataFrame(
            {
                "kind": np.asarray(kinds)[pairs[nuisance_code] // len(words)],
                "nuisance": np.asarray(words)[pairs[nuisance_code] % len(words)],
                "category": np.asarray(categories)[of_category],
                "nuisance_code": nuisance_code,
                "category_code": of_category,
            }
        )
        return cells, cell_code

    @cached_property
    def categories(self) -> list[str]:
        """Names in the order of their codes."""
        return self.cells.drop_duplicates("category_code").sort_values("category_code")["category"].tolist()

    @cached_property
    def nuisances(self) -> pd.DataFrame:
        """Kind and nuisance in the order of their codes."""
        first = self.cells.drop_duplicates("nuisance_code").sort_values("nuisance_code")
        return first[["kind", "nuisance"]].reset_index(drop=True)

    @cached_property
    def kinds(self) -> list[str]:
        """Kinds of the pool in the order of the paper, the control arm last; unknown kinds behind."""
        order = {kind.value: position for position, kind in enumerate(Kind)}
        return sorted(self.cells["kind"].unique(), key=lambda kind: (order.get(kind, len(order)), kind))

    @cached_property
    def sets(self) -> list[str]:
        """Names of the sets."""
        known = [
            name for name in ("pool", "pool_accepted", "mined", "accepted") if name in self.evidence.sets
        ]
        return known + [name for name in self.evidence.sets if name not in known]

    @cached_property
    def is_control(self) -> np.ndarray:
        """Bool "cells": of the neutral prompt, not counted in totals."""
        return (self.cells["kind"] == Kind.NEUTRAL).to_numpy()

    @cached_property
    def num_images(self) -> np.ndarray:
        """Int "sets cells": images of a set, whether they count for a model or not."""
        return np.stack([self.count(self.evidence.sets[name]) for name in self.sets])

    @cached_property
    def counts(self) -> pd.DataFrame:
        """The counts of the evidence, one row for each set, model and cell, in the order of all three here."""
        counts, shape = self.evidence.counts, (len(self.evidence.sets), -1)
        rows = np.arange(len(counts)).reshape(shape)[
            [list(self.evidence.sets).index(name) for name in self.sets]
        ]
        return counts.iloc[rows.ravel()].reset_index(drop=True)

    @cached_property
    def num_counted(self) -> np.ndarray:
        """Int "sets models cells": images that count for a model."""
        return self._laid_out("num_images")

    @cached_property
    def num_correct(self) -> np.ndarray:
        """Int "sets models cells"."""
        return self._laid_out("num_correct")

    def _laid_out(self, column: str) -> np.ndarray:
        shape = (len(self.sets), len(self.evidence.models), len(self.cells))
        return self.counts[column].to_numpy().reshape(shape)

    def count(self, is_counted: np.ndarray) -> np.ndarray:
        """Return int "cells": how many of these images lie in each cell."""
        return np.bincount(self.cell_of_image[is_counted], minlength=len(self.cells))

    def group(self, counts: np.ndarray, codes: np.ndarray, size: int) -> np.ndarray:
        """Sum the last axis (cells) by code: "... cells" -> "... size"."""
        return group_sums(counts, codes, size)

    def by_category(self, counts: np.ndarray) -> np.ndarray:
        """Sum cells by category: "... cells" -> "... categories"."""
        return group_sums(counts, self.cells["category_code"].to_numpy(), len(self.categories))

    def by_nuisance(self, counts: np.ndarray) -> np.ndarray:
        """Sum cells by nuisance: "... cells" -> "... nuisances"."""
        return group_sums(counts, self.cells["nuisance_code"].to_numpy(), len(self.nuisances))

    def in_kind(self, kind: str) -> np.ndarray:
        """Return bool "cells"; `all` is every kind but the control arm."""
        if kind == ALL:
            return ~self.is_control
        return (self.cells["kind"] == kind).to_numpy()

    def square(self, counts: np.ndarray, is_used: np.ndarray) -> np.ndarray:
        """Lay cells out as "... categories nuisances", zero where a cell is absent or not used."""
        shape = (*counts.shape[:-1], len(self.categories) * len(self.nuisances))
        laid = np.zeros(shape)
        codes = (self.cells["category_code"] * len(self.nuisances) + self.cells["nuisance_code"]).to_numpy()
        laid[..., codes[is_used]] = counts[..., is_used]
        return laid.reshape(*counts.shape[:-1], len(self.categories), len(self.nuisances))


def group_sums(counts: np.ndarray, codes: np.ndarray, size: int) -> np.ndarray:
    """Sum the last axis by code: "... items" -> "... size"."""
    flat = counts.reshape(-1, counts.shape[-1])
    summed = np.stack([np.bincount(codes, weights=row, minlength=size) for row in flat])
    return summed.reshape(*counts.shape[:-1], size)


def describe(models: tuple[ModelEvidence, ...] | list[ModelEvidence]) -> pd.DataFrame:
    """Return one row for each model: model, role, family, regime, chance, num_classes."""
    names = ("name", "role", "family", "regime", "chance")
    table = pd.DataFrame([[getattr(model, name) for name in names] for model in models], columns=[*names])
    table["num_classes"] = [len(model.class_names) for model in models]
    return table.rename(columns={"name": "model"})


def label_spaces(models: Sequence[ModelEvidence]) -> list[str]:
    """Return for each model what it chooses among; models that choose among the same classes can be ranked together.

    A zero-shot model over the categories of a run and a closed-set model of the same categories answer the same
    question; a model of 1,000 classes answers another one.
    """
    keys = [frozenset(model.class_names) for model in models]
    names: dict[frozenset[str], str] = {}
    for key in dict.fromkeys(keys):
        regimes = dict.fromkeys(
            model.regime for model, other in zip(models, keys, strict=True) if other == key
        )
        name = f"{' or '.join(sorted(regimes))}, {len(key):,} classes"
        names[key] = name if name not in names.values() else f"{name} (list {len(names) + 1})"
    return [names[key] for key in keys]


def share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Return part / whole, NaN where whole is 0."""
    return ratio(np.asarray(part), np.asarray(whole))
