"""Mining with all subsets at once equals mining with each, and what the report `selection` makes of it is true."""

import functools
import itertools

import numpy as np
import pandas as pd
import pytest

from imagenetd.mining import shared_failures
from imagenetd.reports.design import Design
from imagenetd.reports.evidence import Evidence, ModelEvidence
from imagenetd.reports.persistence import persistence_table, transfer_table
from imagenetd.reports.selection import SelectionReport
from imagenetd.reports.subset_curves import Subsets, curve_table, leave_family_out_table
from imagenetd.statistics.subsets import choose_subsets, code_sums, failure_codes, is_mined, rank_agreement
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


def test_sums_by_code_hold_all_images() -> None:
    codes, cluster = np.array([3, 0, 3, 1]), np.array([0, 1, 1, 0])
    found, sums = code_sums(codes, cluster, np.array([[1.0, 1, 1, 1], [1, 0, 0, 0]]), 2)
    assert found.tolist() == [0, 1, 3]
    assert sums[..., 0].tolist() == [[0, 1, 1], [1, 0, 1]] and sums[..., 1].tolist() == [[0, 0, 1], [0, 0, 0]]


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
    assert result.tables["leave_family_out"]["leak"].isna().all()
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
    return np.array([[row["leak"], row["leak_low"], row["leak_high"]] for row in rows])


def test_no_family_leak_covers_zero_at_its_rate() -> None:
    leak, low, high = _leaks(0.0, 150).T
    assert abs(leak.mean()) < 0.01
    assert 0.91 < ((low <= 0) & (high >= 0)).mean() <= 0.99


def test_a_planted_family_leak_is_recovered() -> None:
    # Counted on 600,000 images of the same making: the sibling, which copies 60% of its answers from s0,
    # wins 12.4 points where family a does not mine, more than the others win there.
    leak, low, high = _leaks(0.6, 60).T
    assert leak.mean() == pytest.approx(0.124, abs=0.015)
    assert ((low <= 0.119) & (high >= 0.119)).mean() > 0.88
    assert (low > 0).mean() > 0.6


def _noise(seed: int, *, cells: float) -> Evidence:
    """Three models of independent luck; with `cells`, a cell's difficulty is shared by its images and models."""
    random = np.random.default_rng(seed)
    keys = IMAGES["category"] + IMAGES["nuisance"]
    difficulty = cells * random.normal(size=keys.nunique())[pd.factorize(keys)[0]]
    names = [("s", "surrogate"), ("t", "target"), ("u", "target")]
    return evidence(IMAGES, [model(n, _draw(random, difficulty), IMAGES, role=role) for n, role in names])


def test_persistence_is_the_base_rate_under_pure_noise() -> None:
    covered, gaps = 0, []
    for seed in range(200):
        table = persistence_table(Design(_noise(seed, cells=0.0)), min_share=0.5, num_draws=200, seed=seed)
        row = table.set_index("failure_of").loc["t"]
        covered += row["excess_low"] <= 0 <= row["excess_high"]
        gaps.append(row["persistence"] - row["base_rate"])
        assert (
            row["rate_where_selected"] > row["base_rate"] + 0.05
        )  # what an honest report must not show as a find
    assert 0.91 < covered / 200 <= 0.985
    assert abs(np.mean(gaps)) < 0.01


def test_hard_cells_come_back_on_other_seeds() -> None:
    table = persistence_table(Design(_noise(0, cells=3.0)), min_share=0.5, num_draws=200, seed=0)
    row = table.set_index("failure_of").loc["t"]
    assert row["excess_low"] > 0.1 and 0.5 < row["retained"] < 1


def test_failures_of_independent_models_do_not_transfer() -> None:
    covered = []
    for seed in range(150):
        table = transfer_table(Design(_noise(seed, cells=0.0)), num_draws=150, seed=seed)
        covered.append(((table["excess_low"] <= 0) & (table["excess_high"] >= 0)).mean())
    assert 0.92 < np.mean(covered) < 0.98


def test_failures_of_models_with_the_same_difficulties_transfer() -> None:
    table = transfer_table(Design(_noise(0, cells=3.0)), num_draws=200, seed=0)
    row = table.query("source == 's' and destination == 't'").iloc[0]
    assert row["excess_low"] > 0.1 and row["lift"] > 1.3
    assert len(table) == 6


def test_the_curve_covers_the_accuracy_on_mined_images_at_its_rate() -> None:
    runs = [curve.query("target == 'u0'") for _, curve in _mined_again(0.0, 150)]
    rows = [run.query("num_surrogates == 2 and min_failures == 2").iloc[0] for run in runs]
    truth = np.mean([row["accuracy"] for row in rows])
    assert 0.91 < np.mean([row["low"] <= truth <= row["high"] for row in rows]) <= 0.99


def _named(models: list[ModelEvidence]) -> list[str]:
    return [one.name for one in models]


def test_the_gate_takes_no_part_in_the_transfer() -> None:
    gate = model("gate", np.ones(len(IMAGES), bool), IMAGES, role="gate")
    given = evidence(IMAGES, [*GIVEN.models, gate])
    assert _named(given.of_role("gate")) == ["gate"]
    assert "gate" not in set(_tables(given)["transfer"]["source"])
