"""Votes with known chances: no bias in the review's world, 95 of 100 near 1, and narrower than without a gate."""

import numpy as np
import pytest
from scipy.special import expit

from imagenetd.qc.estimates import JudgedImages, parts_of, recall, valid_share
from imagenetd.qc.gate_shares import gate_shares
from imagenetd.qc.sampling import Sampling, arms_of, sample, sampling_of
from imagenetd.scoring.statistics.intervals import wilson_interval

pytestmark = pytest.mark.slow

GOOD, FAIR, WEAK = 5.0, 3.0, 1.5
"""Distance of valid and invalid images in the gate's log-odds over their spread: 0.6%, 6.7%, 23% mistakes."""


@pytest.mark.parametrize("seed", [0, 1])
def test_votes_that_other_surrogates_chose_do_not_bias_the_precision_and_recall(seed: int) -> None:
    rng = np.random.default_rng(seed)
    errors, covered = [], []
    everything = np.ones(4000, dtype=bool)
    for run in range(400):
        valid = rng.random(4000) >= 0.05
        one = np.where(valid, rng.random(4000) < 0.25, rng.random(4000) < 0.97)
        four = one & np.where(valid, rng.random(4000) < 0.4, rng.random(4000) < 0.95)
        kept = np.where(valid, rng.random(4000) < 0.97, rng.random(4000) < 0.3)
        asked = sample(~one, 200, seed=2 * run) | sample(one, 150, seed=2 * run + 100_001)
        sampling = sampling_of(arms_of(one, everything, ~one), asked)
        found = gate_shares(
            JudgedImages(sampling, asked, valid & asked),
            kept,
            np.full(4000, 0.9),
            mined=four,
            others=~four,
        )
        truths = {"precision_pool": valid[kept].mean(), "recall_pool": kept[valid].mean()}
        errors.append([getattr(found, name).value - truth for name, truth in truths.items()])
        covered.append(
            [
                getattr(found, name).interval[0] <= truth <= getattr(found, name).interval[1]
                for name, truth in truths.items()
            ]
        )
    print(f"bias {100 * np.mean(errors, axis=0)} points, covered {100 * np.mean(covered, axis=0)}")
    assert (np.abs(np.mean(errors, axis=0)) < 0.002).all()
    assert (np.mean(covered, axis=0) >= 0.93).all()


@pytest.mark.parametrize("separation", [GOOD, FAIR, WEAK])
@pytest.mark.parametrize("rate", [0.8, 0.95, 0.97, 0.99])
@pytest.mark.parametrize("votes", [60, 200])
def test_a_gate_narrows_the_interval_which_still_holds_near_one(
    separation: float, rate: float, votes: int
) -> None:
    rng = np.random.default_rng(7)
    rows = []
    everything = np.ones(4000, dtype=bool)
    sampling = Sampling(("unmined",) * 4000, np.full(4000, votes / 4000))
    for run in range(500):
        valid = rng.random(4000) < rate
        probability = expit(separation * (np.where(valid, 0.5, -0.5) * separation + rng.normal(size=4000)))
        judged = sample(everything, votes, seed=run)
        parts = parts_of(
            JudgedImages(sampling, judged, valid & judged), probability >= 0.5, probability, everything
        )
        found, lost = valid_share(parts), recall(parts)
        low, high = wilson_interval(np.array([(valid & judged).sum()]), np.array([votes]))
        kept = float((probability >= 0.5)[valid].mean())
        rows.append(
            [
                found.low <= valid.mean() <= found.high,
                lost.low <= kept <= lost.high,
                found.high - found.low,
                float(high[0] - low[0]),
            ]
        )
    share, of_recall, width, plain = np.mean(rows, axis=0)
    print(
        f"| {separation} | {rate} | {votes} | {100 * share:.1f} | {100 * of_recall:.1f} | {width / plain:.2f} |"
    )
    assert share >= 0.93 and of_recall >= 0.93
    assert width / plain <= (0.7 if separation == GOOD else 1.0)
