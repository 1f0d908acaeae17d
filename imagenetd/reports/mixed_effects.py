"""The report `mixed_effects`: categories and nuisances as crossed random effects on the log-odds of a right answer."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from imagenetd.config.ranges import AnyCount, Count, Seed
from imagenetd.reports.design import Design
from imagenetd.reports.evidence import Evidence, ModelEvidence, ReportResult
from imagenetd.reports.report_set import Report
from imagenetd.scoring.statistics.intervals import OTHER_CATEGORIES, THESE_CATEGORIES
from imagenetd.scoring.statistics.mixed import MixedEffects, fit_mixed_effects
from imagenetd.store.numerals import counted

SPREAD_FOR = {
    "category": OTHER_CATEGORIES,
    "nuisance": "other nuisances",
    "pairing": "other cells (category and nuisance)",
}
EFFECTS_FOR = f"{THESE_CATEGORIES}, on average over the levels: not for the level that stands out"
COMPONENT_COLUMNS = ["model", "factor", "num_levels", "num_images", "sd", "posterior_low", "posterior_high"]
COMPONENT_COLUMNS += ["posterior_for"]
EFFECT_COLUMNS = [
    *(
        "model",
        "factor",
        "kind",
        "level",
        "log_odds",
        "posterior_sd",
        "posterior_low",
        "posterior_high",
        "odds_ratio",
        "num_images",
        "posterior_for",
    ),
]


@dataclass(frozen=True, slots=True)
class MixedEffectsReport(Report):
    """Crossed random effects of category, nuisance and their pairing, for every target (statsmodels)."""

    max_images: Count = 4000
    """Of larger pools a random part of this size is taken: a fit takes about 2 seconds for 1,000 images."""
    max_pairings: AnyCount = 1000
    """With more cells the pairing is left out: its effect is then part of the seed."""
    seed: Seed = 0
    """Of the random part."""

    name: ClassVar[str] = "mixed_effects"

    def report(self, evidence: Evidence) -> ReportResult:
        """Return `components` and `effects`."""
        design = Design(evidence)
        used = np.flatnonzero(evidence.sets[evidence.judged] & ~design.is_control[design.cell_of_image])
        if len(used) > self.max_images:
            used = np.sort(np.random.default_rng(self.seed).choice(used, self.max_images, replace=False))
        components: list[list[Any]] = []
        effects: list[list[Any]] = []
        for model in evidence.of_role("target"):
            here = used[model.counted[used]]
            if len(np.unique(model.correct[here])) == 2:
                for part, rows in zip((components, effects), self._fit(design, model, here), strict=True):
                    part.extend(rows)
        tables = {
            "components": pd.DataFrame(components, columns=COMPONENT_COLUMNS),
            "effects": pd.DataFrame(effects, columns=EFFECT_COLUMNS),
        }
        return ReportResult(self.name, tables, tuple(_findings(tables["components"])))

    def _fit(
        self, design: Design, model: ModelEvidence, used: np.ndarray
    ) -> tuple[list[list[Any]], list[list[Any]]]:
        cell = design.cell_of_image[used]
        codes = {
            "category": design.cells["category_code"].to_numpy()[cell],
            "nuisance": design.cells["nuisance_code"].to_numpy()[cell],
            "pairing": cell,
        }
        if len(np.unique(cell)) > self.max_pairings or np.bincount(cell).max() < 2:
            del codes["pairing"]
        levels = {name: np.unique(code, return_inverse=True) for name, code in codes.items()}
        found = fit_mixed_effects(model.correct[used], tuple(place for _, place in levels.values()))
        sizes = {name: len(codes) for name, (codes, _) in levels.items()}
        components = [
            [
                model.name,
                name,
                size,
                len(used),
                *(float(value[i]) for value in (found.sd, found.sd_low, found.sd_high)),
                SPREAD_FOR[name],
            ]
            for i, (name, size) in enumerate(sizes.items())
        ]
        return components, list(_effects(design, model, levels, found))


def _effects(
    design: Design,
    model: ModelEvidence,
    levels: dict[str, tuple[np.ndarray, np.ndarray]],
    found: MixedEffects,
) -> Iterator[list[Any]]:
    """Yield the effects of categories and nuisances; those of the pairings are many and each rests on few images."""
    words = design.nuisances
    for index, name in enumerate(["category", "nuisance"]):
        images = np.bincount(levels[name][1])
        numbers = zip(
            levels[name][0], found.effects[index], found.errors[index], images.tolist(), strict=True
        )
        for code, effect, sd, count in numbers:
            if name == "category":
                kind, level = "", design.categories[code]
            else:
                kind, level = words["kind"].iloc[code], words["nuisance"].iloc[code]
            ends = [float(effect - 1.96 * sd), float(effect + 1.96 * sd)]
            effects = [float(effect), float(sd), *ends, math.exp(effect)]
            yield [model.name, name, kind, level, *effects, count, EFFECTS_FOR]


def _findings(components: pd.DataFrame) -> Iterator[str]:
    for model, rows in components.groupby("model", sort=False):
        parts = ", ".join(
            f"{row['factor']} {row['sd']:.2f} [{row['posterior_low']:.2f}, {row['posterior_high']:.2f}] "
            f"({counted(row['num_levels'], 'level')})"
            for row in rows.to_dict("records")
        )
        yield (
            f"{model}: standard deviations of the effects on the log-odds of a right answer: {parts}; posterior "
            f"intervals (somewhat narrow) from {counted(int(rows['num_images'].iloc[0]), 'image')}."
        )
