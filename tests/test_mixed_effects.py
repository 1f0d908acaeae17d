"""The report `mixed_effects` finds planted effects."""

import numpy as np
import pytest

from imagenetd.reports.mixed_effects import MixedEffectsReport
from imagenetd.scoring.statistics.mixed import fit_mixed_effects
from tests.simulated import evidence, grid, model


def test_planted_standard_deviations_are_recovered() -> None:
    random = np.random.default_rng(0)
    categories, nuisances = np.divmod(np.arange(12 * 20).repeat(8), 20)
    effect_of_category, effect_of_nuisance = random.normal(0, 1.0, 12), random.normal(0, 0.6, 20)
    odds = 0.5 + effect_of_category[categories] + effect_of_nuisance[nuisances]
    correct = random.random(len(odds)) < 1 / (1 + np.exp(-odds))
    found = fit_mixed_effects(correct, (categories, nuisances))
    assert found.sd == pytest.approx([effect_of_category.std(), effect_of_nuisance.std()], abs=0.2)
    assert np.corrcoef(found.effects[0], effect_of_category)[0, 1] > 0.95
    inside = (
        np.abs(found.effects[1] - (effect_of_nuisance - effect_of_nuisance.mean())) < 2.5 * found.errors[1]
    )
    assert inside.mean() >= 0.85


def test_the_report_has_a_row_for_each_factor_and_level_and_never_touches_the_global_generator() -> None:
    images = grid(num_categories=6, num_seeds=4, num_neutral=2)
    random = np.random.default_rng(1)
    bad = (images["nuisance"] == "texture1").to_numpy()
    models = [model("t", random.random(len(images)) < np.where(bad, 0.2, 0.8), images)]
    models.append(model("always", np.ones(len(images), bool), images))  # nothing to explain
    before = np.random.get_state()[1].copy()
    tables = MixedEffectsReport().report(evidence(images, models)).tables
    assert (np.random.get_state()[1] == before).all()
    assert tables["components"]["factor"].tolist() == ["category", "nuisance", "pairing"]
    effects = tables["effects"].query("factor == 'nuisance'").set_index("level")["log_odds"]
    assert effects.idxmin() == "texture1" and effects["texture1"] < -1
    assert set(tables["effects"]["model"]) == {"t"}


def test_a_large_pool_is_fitted_on_a_part_without_pairings() -> None:
    images = grid(num_categories=12, nuisances={"texture": 10}, num_seeds=4)
    correct = np.random.default_rng(2).random(len(images)) < 0.7
    report = MixedEffectsReport(max_images=200, max_pairings=50)
    rows = report.report(evidence(images, [model("t", correct, images)])).tables["components"]
    assert rows["factor"].tolist() == ["category", "nuisance"] and (rows["num_images"] == 200).all()
