"""Mining with all subsets at once equals mining with each, and what the report `selection` makes of it is true."""

import functools
import itertools

import numpy as np
import pandas as pd
import pytest

from imagenetd.reports.design import Design
from imagenetd.reports.evidence import Evidence, ModelEvidence
from imagenetd.reports.persistence import persistence_table, transfer_table
from imagenetd.reports.selection import SelectionReport
from imagenetd.reports.subset_curves import Subsets, curve_table, leave_family_out_table
from imagenetd.scoring.mining import shared_failures
from imagenetd.scoring.statistics.family import accuracy_without, family_log_odds
from imagenetd.scoring.statistics.subsets import (
    choose_subsets,
    failure_codes,
    is_mined,
    rank_agreement,
)
from tests.simulated import evidence, grid, model

IMAGES = grid(num_categories=10, nuisances={"background": 3, "texture": 3}, num_seeds=6, num_neutral=2)
IS_NUISANCE = (IMAGES["kind"] != "neutral").to_numpy()
CATEGORY = IMAGES["category"].str[1:].astype(int).to_numpy()


def _difficulty(random: np.random.Generator) -> np.ndarray:
    return random.normal(0, 1.0, len(IMAGES)) + random.normal(0, 0.5, 10)[CATEGORY]


def _draw(random: np.random.Generator, difficulty: np.ndarray) -> np.ndarray:
    return random.random(len(IMAGES)) > 1 / (1 + np.exp(-difficulty))


def _family(seed: int, leak: float) -> Evidence:
    """Two surrogates of family a, two of b; a target of a that copies one of them with probability `leak`."""
    random = np.random.default_rng(seed)
    difficulty = _difficulty(random)
    surrogates = [_draw(random, difficulty) for _ in range(4)]
    copies = random.random(len(IMAGES)) < leak
    sibling = np.where(copies, surrogates[0], _draw(random, difficulty))
    unseen = [_draw(random, difficulty) for _ in range(3)]
    models = [
        model(f"s{n}", correct, IMAGES, role="surrogate", family="ab"[n // 2])
        for n, correct in enumerate(surrogates)
    ]
    models.append(model("sibling", sibling, IMAGES, family="a"))
    models += [model(f"u{n}", correct, IMAGES) for n, correct in enumerate(unseen)]
    return evidence(IMAGES, models)


def _tables(given: Evidence, num_draws: int = 100) -> dict[str, pd.DataFrame]:
    return dict(SelectionReport(num_draws=num_draws).report(given).tables)


GIVEN = _family(0, leak=0.5)
TABLES = _tables(GIVEN)


@pytest.mark.parametrize("min_failures", [1, 2, 3])
def test_codes_mine_what_counting_failures_mines(min_failures: int) -> None:
    correct = np.random.default_rng(0).random((3, 500)) < 0.5
    codes = failure_codes(correct)
    for size in range(min_failures, 4):
        for chosen in itertools.combinations(range(3), size):
            bits = np.array([sum(1 << index for index in chosen)])
            mined = is_mined(codes, bits, np.array([min_failures]))[0]
            assert (mined == shared_failures(correct[list(chosen)], min_failures=min_failures)).all()


def test_every_subset_has_every_k_or_a_sample_of_each_size() -> None:
    subsets, k = choose_subsets(3, max_rows=12, seed=0)
    assert sorted(zip(subsets.tolist(), k.tolist(), strict=True)) == [
        (1, 1), (2, 1), (3, 1), (3, 2), (4, 1), (5, 1), (5, 2), (6, 1), (6, 2), (7, 1), (7, 2), (7, 3)
    ]  # fmt: skip
    subsets, k = choose_subsets(12, max_rows=240, seed=0)
    assert len(subsets) <= 252 and set(np.bitwise_count(subsets).tolist()) == set(range(1, 13))
    assert sorted(k[subsets == 2**12 - 1].tolist()) == list(range(1, 13))


def test_more_surrogates_than_bits_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        failure_codes(np.zeros((63, 2), bool))


def test_rank_agreement_is_one_for_the_same_order_and_minus_one_for_the_reverse() -> None:
    accuracy = np.array([[0.1, 0.2, 0.3], [0.3, 0.2, 0.1], [0.2, 0.1, 0.3]])
    fair = np.ones((3, 3), bool)
    assert rank_agreement(accuracy, accuracy[0], fair) == pytest.approx([1.0, -1.0, 1 / 3])


def test_each_subset_has_the_accuracy_of_its_mined_images() -> None:
    row = TABLES["subsets"].query("surrogates == 's0+s2' and min_failures == 2 and target == 'u1'").iloc[0]
    by_name = {m.name: m.correct for m in GIVEN.models}
    mined = ~by_name["s0"] & ~by_name["s2"] & IS_NUISANCE
    assert (row["num_mined"], row["num_correct"]) == (mined.sum(), (mined & by_name["u1"]).sum())


def test_the_curve_starts_with_the_pool_and_falls_with_every_surrogate() -> None:
    curve = TABLES["curve"].query("target == 'u0' and num_surrogates == min_failures")
    assert curve["num_surrogates"].tolist() == [0, 1, 2, 3, 4]
    assert curve["accuracy"].iloc[0] == pytest.approx(GIVEN.models[5].correct[IS_NUISANCE].mean())
    assert (np.diff(curve["accuracy"]) < 0).all() and (np.diff(curve["mean_num_judged"]) < 0).all()
    assert curve["rank_agreement"].iloc[-1] > 0.8  # with itself; two targets are equal there


def test_roles_name_siblings_and_their_relatives() -> None:
    roles = TABLES["roles"].set_index("model")
    assert roles["relation"].tolist() == [
        *["surrogate"] * 4,
        "same family",
        *["unseen family, training data unknown"] * 3,
    ]
    assert roles.loc["sibling", "relatives"] == "s0 s1" and roles.loc["u0", "relatives"] == ""
    assert (roles.loc[["s0", "s1", "s2", "s3"], "mined_accuracy"] == 0).all()


def test_without_surrogates_of_another_family_a_leak_is_not_known() -> None:
    models = [m for m in GIVEN.models if m.family != "b"]
    result = SelectionReport(num_draws=50).report(evidence(IMAGES, models))
    assert result.tables["leave_family_out"]["log_odds_ratio"].isna().all()
    assert any("cannot be told" in finding for finding in result.findings)


def test_a_pool_with_one_seed_has_no_persistence_and_says_so() -> None:
    first = (IMAGES["seed_index"] == 0).to_numpy()
    images = IMAGES[first].reset_index(drop=True)
    models = [model(m.name, m.correct[first], images, role=m.role, family=m.family) for m in GIVEN.models]
    result = SelectionReport(num_draws=50).report(evidence(images, models))
    assert result.tables["persistence"].empty
    assert any("num_images_per_cell=2" in finding for finding in result.findings)


def test_a_run_without_surrogates_has_roles_and_transfer() -> None:
    tables = _tables(evidence(IMAGES, GIVEN.of_role("target")))
    assert set(tables) == {"roles", "persistence", "transfer"}
    assert set(tables["roles"]["relation"]) == {"target"}


@functools.cache
def _mined_again(leak: float, num_runs: int) -> list[tuple[pd.DataFrame, pd.DataFrame]]:
    runs = [
        Subsets.of(Design(_family(seed, leak)), num_draws=60, seed=0, max_rows=100)
        for seed in range(num_runs)
    ]
    return [(leave_family_out_table(run), curve_table(run)) for run in runs]


def _leaks(leak: float, num_runs: int) -> np.ndarray:
    rows = [
        table.query("family == 'a' and target == 'sibling'").iloc[0]
        for table, _ in _mined_again(leak, num_runs)
    ]
    return np.array([[row["log_odds_ratio"], row["log_odds_low"], row["log_odds_high"]] for row in rows])


def test_no_family_effect_is_zero_and_covers_it_at_its_rate() -> None:
    leak, low, high = _leaks(0.0, 100).T
    assert abs(np.nanmean(leak)) < 0.12
    assert ((low <= 0) & (high >= 0))[np.isfinite(leak)].mean() >= 0.93


def test_a_planted_family_effect_is_shown_in_odds_and_in_points() -> None:
    # The sibling copies 60% of its answers from s0.
    leak, low, _ = _leaks(0.6, 40).T
    assert np.nanmean(leak) > 1.0 and (low > 0).mean() > 0.6
    row = _mined_again(0.6, 40)[0][0].query("family == 'a' and target == 'sibling'").iloc[0]
    mined = row["leak"]
    assert row["relation"] == "same family" and mined > 0.05 and row["leak_low"] < mined < row["leak_high"]


@pytest.mark.parametrize(("of_family", "of_sibling"), [(-1.0, 1.0), (0.0, -1.0), (1.0, -1.0)])
def test_other_strengths_are_no_family_effect(of_family: float, of_sibling: float) -> None:
    # A difference of accuracies shows -4.5, +4.1 and -5.9 points here, though models share nothing but difficulty.
    random = np.random.default_rng(11)
    category = np.repeat(np.arange(40), 1000)
    difficulty = random.normal(0, 1, len(category)) + random.normal(0, 0.5, 40)[category] - 0.5

    def fails(strength: float) -> np.ndarray:
        return random.random(len(category)) < 1 / (1 + np.exp(-difficulty - strength))

    family, others = fails(of_family) & fails(of_family), fails(0.0).astype(int) + fails(0.0)
    sibling, controls = fails(of_sibling), np.stack([fails(0.0) for _ in range(3)])
    found, deciding = family_log_odds(
        sibling, controls, family_fails=family, others_failing=others, category=category, num_categories=40
    )
    assert abs(float(found.value)) < 0.12 and found.low < 0 < found.high and deciding > 10_000


def test_a_log_odds_ratio_of_equal_strata_equals_a_hand_made_one() -> None:
    # One control. Family fails: target alone 12, control alone 6; family right: 5 and 10. (12 x 10) / (6 x 5) = 4.
    target = np.repeat([True, False, True, False], [12, 6, 5, 10])
    family = np.repeat([True, False], [18, 15])
    found, deciding = family_log_odds(
        target,
        ~target[None],
        family_fails=family,
        others_failing=np.zeros(33, dtype=np.int64),
        category=np.arange(33) % 3,
        num_categories=3,
    )
    assert float(found.value) == pytest.approx(np.log(4)) and deciding == 33
    assert accuracy_without(np.array([0.2]), np.array([np.log(4)])) == pytest.approx([0.5])


def test_too_few_deciding_images_measure_no_family_effect() -> None:
    target = np.repeat([True, False, True, False], [12, 4, 5, 10])
    found, _ = family_log_odds(
        target,
        ~target[None],
        family_fails=np.repeat([True, False], [16, 15]),
        others_failing=np.zeros(31, dtype=np.int64),
        category=np.arange(31) % 3,
        num_categories=3,
    )
    assert np.isnan(found.value) and np.isnan(found.low)


def _noise(seed: int, *, cells: float) -> Evidence:
    """Three models whose mistakes are independent; with `cells`, images of a cell are as hard for all."""
    random = np.random.default_rng(seed)
    keys = IMAGES["category"] + IMAGES["nuisance"]
    difficulty = cells * random.normal(size=keys.nunique())[pd.factorize(keys)[0]]
    names = [("s", "surrogate"), ("t", "target"), ("u", "target")]
    return evidence(IMAGES, [model(n, _draw(random, difficulty), IMAGES, role=role) for n, role in names])


def test_persistence_is_the_base_rate_under_pure_noise() -> None:
    covered, gaps = 0, []
    for seed in range(200):
        table = persistence_table(Design(_noise(seed, cells=0.0)), min_share=0.5)
        row = table.set_index("failure_of").loc["t"]
        covered += row["excess_low"] <= 0 <= row["excess_high"]
        gaps.append(row["persistence"] - row["base_rate"])
        assert (
            row["rate_where_selected"] > row["base_rate"] + 0.05
        )  # what an honest report must not show as a find
    assert covered / 200 >= 0.93
    assert abs(np.mean(gaps)) < 0.01


def test_hard_cells_come_back_on_other_seeds() -> None:
    table = persistence_table(Design(_noise(0, cells=3.0)), min_share=0.5)
    row = table.set_index("failure_of").loc["t"]
    assert row["excess_low"] > 0.1 and 0.5 < row["retained"] < 1


def test_failures_of_independent_models_do_not_transfer() -> None:
    covered = []
    for seed in range(150):
        table = transfer_table(Design(_noise(seed, cells=0.0)))
        covered.append(((table["excess_low"] <= 0) & (table["excess_high"] >= 0)).mean())
    assert np.mean(covered) >= 0.93


def test_failures_of_models_with_the_same_difficulties_transfer() -> None:
    table = transfer_table(Design(_noise(0, cells=3.0)))
    row = table.query("source == 's' and destination == 't'").iloc[0]
    assert row["excess_low"] > 0.1 and row["lift"] > 1.3
    assert len(table) == 6


def test_the_curve_covers_the_accuracy_on_mined_images_at_its_rate() -> None:
    runs = [curve.query("target == 'u0'") for _, curve in _mined_again(0.0, 100)]
    rows = [run.query("num_surrogates == 2 and min_failures == 2").iloc[0] for run in runs]
    truth = np.mean([row["accuracy"] for row in rows])
    assert np.mean([row["low"] <= truth <= row["high"] for row in rows]) >= 0.93


def _named(models: list[ModelEvidence]) -> list[str]:
    return [one.name for one in models]


def test_the_gate_takes_no_part_in_the_transfer() -> None:
    gate = model("gate", np.ones(len(IMAGES), bool), IMAGES, role="gate")
    given = evidence(IMAGES, [*GIVEN.models, gate])
    assert _named(given.of_role("gate")) == ["gate"]
    assert "gate" not in set(_tables(given)["transfer"]["source"])
