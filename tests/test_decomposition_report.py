"""The report `decomposition` on simulated models whose every arrow is known."""

import numpy as np
import pandas as pd
import pytest

from imagenetd.reports.decomposition import DecompositionReport
from imagenetd.reports.evidence import Evidence
from tests.simulated import evidence, grid, model

IMAGES = grid(num_categories=12, num_seeds=6, num_neutral=12)
IS_NEUTRAL = (IMAGES["kind"] == "neutral").to_numpy()
CATEGORY = IMAGES["category"].str[1:].astype(int).to_numpy()


def _baseline(correct: int = 45, regime: str = "zero-shot", num_classes: int = 12) -> pd.DataFrame:
    columns = {
        "model": "t",
        "regime": regime,
        "num_classes": num_classes,
        "category": [f"c{n}" for n in range(12)],
    }
    return pd.DataFrame(columns | {"num_images": 50, "num_correct": correct})


def _given(seed: int, *, baseline: pd.DataFrame | None = None) -> Evidence:
    """Neutral 0.9 and nuisance 0.7 on average; on what the surrogate fails the target has 0.35."""
    random = np.random.default_rng(seed)
    shift = np.clip(random.normal(0, 0.08, 12), -0.1, 0.1)[CATEGORY]
    surrogate = random.random(len(IMAGES)) < 0.5
    rate = np.where(IS_NEUTRAL, 0.9, np.where(surrogate, 1.05, 0.35) + shift * ~IS_NEUTRAL)
    target = random.random(len(IMAGES)) < np.clip(rate, 0, 1)
    models = [model("s", surrogate, IMAGES, role="surrogate"), model("t", target, IMAGES)]
    return evidence(IMAGES, models, baseline=baseline)


def _arrows(given: Evidence) -> pd.DataFrame:
    return DecompositionReport().report(given).tables["arrows"].set_index(["start", "end"])


def test_the_arrows_join_the_steps_and_add_up() -> None:
    arrows = _arrows(_given(0, baseline=_baseline()))
    assert list(arrows.index) == [
        ("real", "neutral"), ("neutral", "nuisance"), ("nuisance", "mined"), ("mined", "accepted")
    ]  # fmt: skip
    total = arrows["end_accuracy"].iloc[-1] - arrows["start_accuracy"].iloc[0]
    assert arrows["change"].sum() == pytest.approx(total)
    kept = arrows.loc[("mined", "accepted")]
    assert (
        kept["change"] == 0 and -0.2 < kept["low"] < 0 < kept["high"] < 0.2
    )  # none taken out is not: none ever
    assert kept["taken_out"].startswith(f"no image was taken out of {kept['num_start']} (at most ")
    assert (arrows["low"] < arrows["high"]).all() and set(arrows["interval_for"]) == {"other categories"}


def test_without_a_control_arm_and_a_baseline_the_chain_is_shorter_and_says_so() -> None:
    given = _given(0)
    images = IMAGES[~IS_NEUTRAL].reset_index(drop=True)
    models = [model(m.name, m.correct[~IS_NEUTRAL], images, role=m.role) for m in given.models]
    result = DecompositionReport().report(evidence(images, models))
    assert result.tables["arrows"][["start", "end"]].values.tolist() == [
        ["nuisance", "mined"],
        ["mined", "accepted"],
    ]
    assert "report.baseline" in result.findings[-1] and "include_neutral" in result.findings[-1]


@pytest.mark.parametrize(
    ("baseline", "is_used"),
    [(_baseline(), True), (_baseline(regime="any-of-ids"), False), (_baseline(num_classes=113), False)],
)
def test_a_baseline_of_another_regime_or_list_of_answers_is_not_used(
    baseline: pd.DataFrame, is_used: bool
) -> None:
    tables = DecompositionReport().report(_given(0, baseline=baseline)).tables
    assert ("baseline_drop" in tables) is is_used


def test_the_drop_is_real_minus_generated_also_at_the_same_mix_of_categories() -> None:
    given = _given(0, baseline=_baseline().assign(num_correct=[50] * 6 + [40] * 6))
    drops = DecompositionReport().report(given).tables["baseline_drop"]
    row = drops.set_index(["set", "kind"]).loc[("mined", "all")]
    assert row["real_accuracy"] == pytest.approx(0.9)
    assert row["drop"] == pytest.approx(0.9 - row["accuracy"])
    mined = given.sets["mined"]
    mix = np.where(CATEGORY[mined] < 6, 1.0, 0.8).mean()
    assert row["drop_same_mix"] == pytest.approx(mix - row["accuracy"])


def test_another_mix_of_categories_is_told_from_a_change_within_them() -> None:
    images = grid(num_categories=2, nuisances={"texture": 1}, num_seeds=20)
    easy = (images["category"] == "c0").to_numpy()
    surrogate = easy & (np.arange(len(images)) % 10 > 0)  # fails on all of c1 and 2 of c0
    target = easy.copy()  # right on all of c0, wrong on all of c1, whatever the surrogate says
    given = evidence(images, [model("s", surrogate, images, role="surrogate"), model("t", target, images)])
    row = _arrows(given).loc[("nuisance", "mined")]
    assert row["change"] == pytest.approx(2 / 22 - 0.5)
    assert (row["by_category_mix"], row["within_categories"]) == (
        pytest.approx(2 / 22 - 0.5),
        pytest.approx(0),
    )


def test_each_arrow_covers_its_true_change_at_its_rate() -> None:
    truth = {("neutral", "nuisance"): 0.0, ("nuisance", "mined"): 0.0}
    runs = [_arrows(_given(seed)).loc[list(truth)] for seed in range(100)]  # 1,500 in tests/slow
    # The mean over the simulated runs stands for the truth: its own error is a fifteenth of one run's.
    for arrow in truth:
        change = np.array([run.loc[arrow, "change"] for run in runs])
        low, high = (np.array([run.loc[arrow, end] for run in runs]) for end in ("low", "high"))
        assert ((low <= change.mean()) & (change.mean() <= high)).mean() >= 0.93
        assert (high - low).mean() < 6 * change.std()  # 3.9 with the truth known: honest, and of use


def test_pairs_of_a_seed_have_an_interval_of_their_own() -> None:
    arrows = _arrows(_given(0))
    row = arrows.loc[("neutral", "nuisance")]
    assert row["num_pairs"] == 12 * 6  # the control arm has 12 seeds, the nuisances 6
    assert row["low_by_seed"] < row["change"] < row["high_by_seed"]
    assert np.isnan(arrows.loc[("nuisance", "mined"), "low_by_seed"])


def test_mistakes_that_a_seed_makes_with_every_prompt_leave_the_paired_interval_empty_of_luck() -> None:
    images = grid(num_categories=6, num_seeds=10, num_neutral=10)
    luck = np.random.default_rng(0).random(10) < 0.5  # of the seed alone: the prompt changes nothing
    correct = luck[images["seed_index"].to_numpy()]
    row = _arrows(evidence(images, [model("t", correct, images)])).loc[("neutral", "nuisance")]
    assert row["change"] == pytest.approx(0, abs=1e-12)
    assert -0.05 < row["low_by_seed"] < 0 < row["high_by_seed"] < 0.05


def test_judged_images_are_compared_with_judged_images() -> None:
    given = _given(3)
    accepted = np.random.default_rng(0).random(len(IMAGES)) < 0.8
    arrows = _arrows(evidence(IMAGES, given.models, accepted=accepted))
    assert ("nuisance_judged", "accepted") in arrows.index
    assert arrows.loc[("nuisance_judged", "accepted"), "num_start"] == (accepted & ~IS_NEUTRAL).sum()
