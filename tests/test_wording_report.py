"""The report `wording` on planted worlds, where how far the wordings of a cell lie apart is written down."""

import numpy as np
import pandas as pd
import pytest

from imagenetd.reports.evidence import Evidence
from imagenetd.reports.report_set import ReportSet
from imagenetd.reports.wording import WordingReport, with_wording
from imagenetd.scoring.statistics.wording import wording_effect
from tests.simulated import evidence, grid, model

NUM_WORDINGS, NUM_SEEDS = 3, 4


def pool(num_categories: int = 12) -> pd.DataFrame:
    """Return 60 cells, each with four images of each of three wordings, and a control arm that does not count."""
    images = grid(num_categories=num_categories, num_seeds=NUM_WORDINGS * NUM_SEEDS, num_neutral=NUM_WORDINGS)
    number = images["seed_index"] % NUM_WORDINGS
    return images.assign(template_index=number, text="wording " + number.astype(str))


def planted(images: pd.DataFrame, seed: int, *, sd: float = 0.0, shift: float = 0.0) -> Evidence:
    """Return a target that fails on 30%: moved by `sd` with the wording of a cell, by `shift` with wording 2."""
    random = np.random.default_rng(seed)
    cell = images.groupby(["category", "kind", "nuisance"], sort=False).ngroup().to_numpy()
    number = images["template_index"].to_numpy()
    moved = sd * random.choice([-1, 1], size=(cell.max() + 1, NUM_WORDINGS))
    rate = 0.3 + moved[cell, number] + shift * (number == 2)
    return evidence(images, [model("t", random.random(len(images)) >= np.clip(rate, 0, 1), images)])


def effect_of(given: Evidence) -> pd.Series:
    return WordingReport().report(given).tables["effect"].iloc[-1]


def test_the_variance_of_wordings_is_that_of_the_products_by_hand() -> None:
    # One cell, two wordings of two images: 2 wrong of 2, 0 wrong of 2. Same wording: (1 + 0) / 2; different: 1 x 0.
    found = wording_effect(np.array([[2.0, 0.0]]), np.array([[2.0, 2.0]]), np.array([0]))
    assert found.sd.value == pytest.approx(np.sqrt(0.5)) and found.share.value == pytest.approx(1.0)
    # Both wordings wrong on one of two: same wording 0, different 1/4: all of it is the seed, and more.
    alike = wording_effect(np.array([[1.0, 1.0]]), np.array([[2.0, 2.0]]), np.array([0]))
    assert alike.sd.value == 0.0 and alike.share.value == pytest.approx(-0.25 / (-0.25 + 0.5))
    assert (alike.sd_as_seen, alike.num_images, alike.num_cells) == (0.0, 4, 1)


def test_the_estimate_is_unbiased_where_the_observed_rates_are_far_off() -> None:
    random = np.random.default_rng(0)
    rates = np.clip(0.4 + 0.1 * random.choice([-1, 1], size=(40_000, 3)), 0, 1)
    wrong, images = random.binomial(2, rates).astype(float), np.full(rates.shape, 2.0)
    found = wording_effect(wrong, images, np.arange(40_000) % 50)
    assert found.sd.value == pytest.approx(0.1, abs=0.01)  # the wordings of a cell: +-0.1, independent
    assert found.sd_as_seen > 0.3
    assert found.share.value == pytest.approx(0.01 / (0.01 + 0.24 - 0.01), abs=0.01)


def test_unequal_cells_and_lone_images_do_not_move_the_estimate() -> None:
    random = np.random.default_rng(1)
    rates = np.clip(0.4 + 0.15 * random.choice([-1, 1], size=(40_000, 3)), 0, 1)
    images = random.integers(0, 5, size=rates.shape).astype(float)
    wrong = random.binomial(images.astype(int), rates).astype(float)
    found = wording_effect(wrong, images, np.arange(40_000) % 50)
    assert found.sd.value == pytest.approx(0.15, abs=0.01)
    assert found.num_cells == int(((images >= 2).sum(axis=1) >= 2).sum())


@pytest.mark.parametrize("sd", [0.0, 0.05, 0.2])
def test_the_interval_holds_the_planted_spread(sd: float) -> None:
    random, category, images = np.random.default_rng(2), np.repeat(np.arange(12), 5), np.full((60, 3), 4.0)
    found = []
    for _ in range(200):  # 1,000 worlds of each of 48 sorts in tests/slow
        rates = 0.3 + sd * random.choice([-1, 1], size=images.shape)
        found.append(wording_effect(random.binomial(4, rates).astype(float), images, category))
    assert np.mean([effect.sd.low <= sd <= effect.sd.high for effect in found]) >= 0.92
    assert np.mean([effect.sd.high - effect.sd.low for effect in found]) < 0.2
    assert (
        np.mean([effect.sd_as_seen for effect in found]) > 0.2
    )  # a plain look at the rates, also of nothing
    if not sd:
        assert np.mean([effect.sd.low > 0 for effect in found]) <= 0.06


def test_the_report_estimates_what_was_planted_and_counts_its_images() -> None:
    row = effect_of(planted(pool(), 1, sd=0.2))
    assert row["sd_low"] < 0.2 < row["sd_high"] and row["sd"] == pytest.approx(0.2, abs=0.05)
    assert (row["num_images"], row["num_cells"], row["num_categories"]) == (720, 60, 12)  # no control arm


def test_a_wording_that_is_harder_is_found_against_the_first() -> None:
    result = WordingReport().report(planted(pool(), 0, shift=0.2))
    table = result.tables["wordings"].set_index("wording")
    assert list(table["num_images"]) == [240, 240, 240] and list(table["num_compared"]) == [240] * 3
    row = table.loc[2]
    assert row["vs_first_low"] < -0.2 < row["vs_first_high"] < 0 and row["example"] == "wording 2"
    assert table.loc[1, "vs_first_low"] < 0 < table.loc[1, "vs_first_high"]
    assert np.isnan(table.loc[0, "vs_first"])
    assert row["accuracy"] == row["num_correct"] / 240
    assert "number 2 (e.g. 'wording 2') lies furthest from the first" in result.findings[1]
    assert result.summary["t"]["pool"]["num_cells"] == 60


def test_a_model_without_mistakes_gets_no_interval_without_width() -> None:
    images = pool()
    row = effect_of(evidence(images, [model("t", np.ones(len(images), bool), images)]))
    assert row["sd"] == 0 and 0 < row["sd_high"] < 0.1
    assert np.isnan(row["share_within_cell"]) and (row["share_low"], row["share_high"]) == (0, 1)


def test_one_image_a_wording_says_nothing_and_the_report_says_so() -> None:
    images = pool()
    images = images[images["seed_index"] < NUM_WORDINGS].reset_index(drop=True)
    result = WordingReport().report(planted(images, 0))
    row = result.tables["effect"].iloc[0]
    assert np.isnan(row["sd"]) and row["num_cells"] == 0
    assert (row["sd_low"], row["sd_high"]) == (0.0, pytest.approx(np.sqrt(0.5)))
    assert "nothing is known of the wording" in result.findings[0]


def test_the_pool_and_what_passes_quality_control_are_told_apart() -> None:
    images = pool()
    given = planted(images, 0)
    accepted = np.random.default_rng(0).random(len(images)) < 0.5
    row = effect_of(evidence(images, given.models, accepted=accepted))
    assert row["set"] == "pool_accepted" and row["num_images"] < 400
    whole = WordingReport().report(evidence(images, given.models, accepted=accepted)).tables["effect"].iloc[0]
    assert whole["set"] == "pool" and whole["num_images"] == 720


def test_texts_of_images_made_elsewhere_are_their_wordings() -> None:
    images = pool()
    numbered = effect_of(planted(images, 3, sd=0.2))
    plain = planted(images, 3, sd=0.2)
    elsewhere = evidence(images.assign(template_index=0), plain.models)
    assert effect_of(elsewhere).drop("model").tolist() == numbered.drop("model").tolist()
    assert "wordings" not in WordingReport().report(elsewhere).tables


def test_the_report_comes_by_itself_where_cells_have_several_wordings() -> None:
    images = pool()
    assert list(with_wording(ReportSet(None), images).reports) == ["wording"]
    assert with_wording(ReportSet(None), images.assign(template_index=0)).reports == {}
    assert with_wording(ReportSet(None), images.drop(columns="template_index")).reports == {}
