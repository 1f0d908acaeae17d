"""Shares from random samples of known parts: numbers by hand, counts without intervals, votes of known chance only."""

import numpy as np
import pytest

from imagenetd.config.qc import CalibrationMethod
from imagenetd.errors import StoreError
from imagenetd.qc.estimates import JudgedImages, Part, recall, total_bounds, valid_share
from imagenetd.qc.gate_calibration import cross_fit
from imagenetd.qc.gate_shares import gate_shares
from imagenetd.qc.sampling import Sampling, arms_of, digest, folds, require_sound, sample, sampling_of


def test_a_census_is_a_count_and_has_no_width() -> None:
    low, high = total_bounds(np.array([7]), np.array([10]), np.array([10]))
    assert (low.tolist(), high.tolist()) == ([7], [7])
    found = valid_share([Part("mined", True, 10, 10, 7, 0.5)])
    assert (found.value, found.low, found.high, found.is_exact) == (0.7, 0.7, 0.7, True)


def test_a_part_of_which_nobody_was_judged_may_hold_anything() -> None:
    low, high = total_bounds(np.array([0]), np.array([0]), np.array([12]))
    assert (low.tolist(), high.tolist()) == ([0], [12])


def test_the_share_weighs_each_part_by_its_images() -> None:
    # 100 mined, all judged, 80 valid; of 900 others 45 judged, all valid: (80 + 900) / 1000.
    parts = [Part("mined", True, 100, 100, 80, 0.9), Part("unmined", True, 900, 45, 45, 0.9)]
    found = valid_share(parts)
    assert found.value == pytest.approx(0.98)
    assert 0.92 < found.low < 0.95 and found.high == pytest.approx(
        0.98
    )  # an unseen image can only be invalid


def test_recall_weighs_what_the_gate_loses_by_its_arm() -> None:
    # Kept: 90 of 100 valid. Rejected: 20 images, 10 judged, 3 valid, so 6 of 20. Recall 90 / 96.
    parts = [Part("mined", True, 100, 100, 90, 0.9), Part("rejected_by_gate", False, 20, 10, 3, 0.2)]
    found = recall(parts)
    assert found.value == pytest.approx(90 / 96)
    assert 90 / 103 - 0.02 < found.low < found.value < found.high <= 90 / 93


def test_arms_and_probabilities_follow_from_who_was_asked() -> None:
    mined = np.array([True, True, True, False, False, False])
    passes = np.array([True, False, False, True, True, True])
    others = np.array([False, False, False, True, True, False])
    arm = arms_of(mined, passes, others)
    assert arm == ("mined", "rejected_by_gate", "rejected_by_gate", "unmined", "unmined", "not_asked")
    found = sampling_of(arm, np.array([True, True, False, False, True, False]))
    assert found.probability.tolist() == [1.0, 0.5, 0.5, 0.5, 0.5, 0.0]


@pytest.mark.parametrize("edit", ["probability", "arm", "record"])
def test_an_edited_probability_arm_or_record_is_refused(edit: str) -> None:
    ids, arm = ["a", "b", "c", "d"], ("mined", "unmined", "unmined", "unmined")
    good = sampling_of(arm, np.array([True, True, False, False]))
    recorded = digest(ids, good)
    require_sound(ids, good, {"a", "b"}, recorded=recorded, where="x")
    bad = {
        "probability": Sampling(arm, np.array([1.0, 0.9, 1 / 3, 1 / 3])),
        "arm": Sampling(("mined", "unmined", "mined", "unmined"), good.probability),
        "record": good,
    }[edit]
    with pytest.raises(StoreError, match="was damaged or edited"):
        require_sound(ids, bad, {"a", "b"}, recorded=None if edit == "record" else recorded, where="x")


def test_images_without_a_chance_to_be_judged_withhold_the_number_and_say_why() -> None:
    mined, others = np.array([True] * 4 + [False] * 6), np.array([False] * 4 + [True] * 6)
    everything = np.ones(10, dtype=bool)
    sampling = sampling_of(arms_of(mined, everything, others), mined)
    found = gate_shares(
        JudgedImages(sampling, mined, mined), everything, np.full(10, 0.9), mined=mined, others=others
    )
    assert found.precision_mined.value == 1.0 and found.precision_mined.interval is None
    assert found.precision_pool.value is None
    assert found.precision_pool.why == "6 of 10 images had no chance to be judged"


def test_votes_on_an_image_do_not_decide_about_its_own_fold() -> None:
    rng = np.random.default_rng(0)
    fold, probability = folds([f"{n:016x}" for n in range(400)]), rng.uniform(0.05, 0.95, 400)
    judged, sampling = np.arange(400) < 200, Sampling(("mined",) * 400, np.ones(400))
    valid = rng.random(400) < probability
    _, before = cross_fit(
        probability,
        JudgedImages(sampling, judged, valid),
        fold,
        method=CalibrationMethod.platt,
        min_images=30,
    )
    changed = np.where(fold == 2, ~valid, valid)
    _, after = cross_fit(
        probability,
        JudgedImages(sampling, judged, changed),
        fold,
        method=CalibrationMethod.platt,
        min_images=30,
    )
    assert (before[fold == 2] == after[fold == 2]).all() and (before[fold != 2] != after[fold != 2]).any()


def test_votes_of_other_surrogates_measure_this_run_without_bias() -> None:
    # The review's world, small: 5% invalid, invalid images are hard; the votes chose hard images of one surrogate, this
    # run's are those of four. As a sample of "unmined" they would say 5 points too little.
    rng, errors, covered = np.random.default_rng(0), [], []
    for run in range(50):
        valid = rng.random(4000) >= 0.05
        one = np.where(valid, rng.random(4000) < 0.25, rng.random(4000) < 0.97)
        four = one & np.where(valid, rng.random(4000) < 0.4, rng.random(4000) < 0.95)
        everything = np.ones(4000, dtype=bool)
        kept = np.where(valid, rng.random(4000) < 0.97, rng.random(4000) < 0.3)
        asked = sample(~one, 200, seed=run) | sample(one, 150, seed=run + 1000)
        sampling = sampling_of(arms_of(one, everything, ~one), asked)
        found = gate_shares(
            JudgedImages(sampling, asked, valid & asked),
            kept,
            np.full(4000, 0.9),
            mined=four,
            others=~four,
        )
        truth, shown = valid[kept].mean(), found.precision_pool
        errors.append(shown.value - truth)
        covered.append(shown.interval[0] <= truth <= shown.interval[1])
    assert (
        abs(np.mean(errors)) < 0.003 and np.mean(covered) >= 0.88
    )  # tests/slow/test_vote_sampling.py: 95 +- 2
