"""What quality control will cost: expected images, judgements and money, from stored predictions. Pure arithmetic."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from imagenetd.config.qc import PlanningConfig, TaskDesignConfig
from imagenetd.qc.odds import Habits, SentinelDesign, pass_chance
from imagenetd.qc.task_design import num_items_per_task, num_sentinels


@dataclass(frozen=True, slots=True)
class CostRow:
    """One way to go about it, and what is to be expected of it."""

    min_failures: int
    """k of k-of-n."""
    gate_threshold: float | None
    """None: people see every mined image."""
    votes_per_image: int
    mined: int
    shown: int
    """Images that people judge: mined ones that the gate keeps, and the random samples."""
    sampled: int
    """Of the shown: those of the random samples of what the gate rejects and of what is not mined; never accepted."""
    valid_shown: float
    accepted: float
    """Expected."""
    valid_share: float | None
    """Of the accepted; None when none is expected."""
    tasks: int
    responses: float
    """Those that sentinels drop included."""
    judgements: float
    usd: float
    judgements_per_accepted: float | None
    usd_per_accepted: float | None


def majority_chance(num_votes: int, accuracy: float) -> float:
    """Return the probability that more than half of n independent votes are right, each with the same probability.

    >>> round(majority_chance(3, 0.9), 3)
    0.972
    """
    wins = range(num_votes // 2 + 1, num_votes + 1)
    return sum(math.comb(num_votes, k) * accuracy**k * (1 - accuracy) ** (num_votes - k) for k in wins)


def cost_rows(
    num_failures: Int[np.ndarray, " images"],
    probability: Float[np.ndarray, " images"] | None,
    *,
    num_surrogates: int,
    tasks: TaskDesignConfig,
    planning: PlanningConfig,
    prior: float,
) -> list[CostRow]:
    """Return one row for each k, gate threshold and number of votes.

    What people are asked is what a run would ask: the mined images that the gate keeps, a sample of those that it
    rejects (`num_rejected`), and one of the images that are not mined (`num_unmined`).

    Args:
        num_failures: Surrogates that are wrong on each image; the control arm and flagged images left out.
        probability: That each image is valid, as the gate says; None without a gate.
        num_surrogates: n.
        tasks: How tasks are made.
        planning: What is compared, and prices.
        prior: Share of valid images where no gate says so.
    """
    believed = np.full(len(num_failures), prior) if probability is None else probability
    thresholds: Sequence[float | None] = [
        None,
        *(planning.gate_thresholds if probability is not None else []),
    ]
    rows = []
    for k in range(1, num_surrogates + 1):
        mined = num_failures >= k
        for threshold in thresholds:
            kept = mined if threshold is None else mined & (believed >= threshold)
            samples = _Expected.of(believed[mined & ~kept], tasks.num_rejected)
            samples += _Expected.of(believed[~mined], tasks.num_unmined)
            way = _Way(k, threshold, int(mined.sum()), believed[kept], samples)
            rows += [_row(way, votes, tasks, planning) for votes in planning.votes_per_image]
    return rows


@dataclass(frozen=True, slots=True)
class _Expected:
    """Images of a random sample, and how many valid ones are to be expected among them."""

    images: int
    valid: float

    @classmethod
    def of(cls, believed: Float[np.ndarray, " images"], size: int) -> "_Expected":
        """Return a sample of so many images, or of all where they are fewer."""
        drawn = min(size, len(believed))
        return cls(drawn, drawn * float(believed.mean()) if drawn else 0.0)

    def __add__(self, other: "_Expected") -> "_Expected":
        return _Expected(self.images + other.images, self.valid + other.valid)


@dataclass(frozen=True, slots=True)
class _Way:
    """Which images people would see."""

    min_failures: int
    threshold: float | None
    num_mined: int
    kept: Float[np.ndarray, " kept"]
    """Probability of being valid of each mined image that the gate keeps."""
    samples: _Expected


def _row(way: _Way, votes: int, tasks: TaskDesignConfig, planning: PlanningConfig) -> CostRow:
    valid, num_kept, samples = float(way.kept.sum()), len(way.kept), way.samples
    num_shown, valid_shown = num_kept + samples.images, valid + samples.valid
    invalid_share = 1 - valid_shown / num_shown if num_shown else 0.0
    passes = pass_chance(
        sentinel_design(tasks), Habits(planning.worker_accuracy), invalid_share=invalid_share
    )
    right = valid * majority_chance(votes, planning.worker_accuracy)
    # A tie rejects, so of an even number of votes it takes one more than half to accept an invalid image, too.
    wrong = (num_kept - valid) * majority_chance(votes, 1 - planning.worker_accuracy)
    accepted = right + wrong
    num_tasks = -(-num_shown // num_items_per_task(tasks))
    responses = num_tasks * votes / passes
    paid = responses if planning.pays_dropped else num_tasks * votes
    usd = paid * planning.usd_per_task * (1 + planning.fee_share)
    judgements = responses / max(1, num_tasks) * (num_shown + num_tasks * num_sentinels(tasks))
    return CostRow(
        min_failures=way.min_failures,
        gate_threshold=way.threshold,
        votes_per_image=votes,
        mined=way.num_mined,
        shown=num_shown,
        sampled=samples.images,
        valid_shown=valid_shown,
        accepted=accepted,
        valid_share=right / accepted if accepted else None,
        tasks=num_tasks,
        responses=responses,
        judgements=judgements,
        usd=usd,
        judgements_per_accepted=judgements / accepted if accepted else None,
        usd_per_accepted=usd / accepted if accepted else None,
    )


def sentinel_design(tasks: TaskDesignConfig) -> SentinelDesign:
    """Return the sentinels of one task."""
    counts = (tasks.num_positive, tasks.num_negative, tasks.num_consistency)
    hard = (tasks.num_hard_positive, tasks.num_hard_negative)
    return SentinelDesign(*counts, tasks.sentinel_rule, tasks.repeats, *hard)
