"""The cost plan by hand: what is asked, the random samples included, and what it costs."""

from typing import Any

import numpy as np
import pytest

from imagenetd.config.qc import PlanningConfig
from imagenetd.qc.costs import CostRow, cost_rows
from tests.test_qc_design import numbers

# Six images: three mined at k=1, two of them believed by the gate.
FAILURES = np.array([1, 1, 1, 0, 0, 0])
BELIEVED = np.array([0.9, 0.8, 0.2, 1.0, 0.9, 0.8])
TASK: dict[str, Any] = {"images_per_task": 6}  # four sentinels and two images to be judged


def plan(probability: np.ndarray | None, **tasks: Any) -> list[CostRow]:
    planning = PlanningConfig(
        gate_thresholds=[0.5],
        votes_per_image=[3],
        usd_per_task=1.0,
        fee_share=0.0,
        pays_dropped=False,
        worker_accuracy=1.0,
        valid_share=None,
    )
    settings = {"num_rejected": 0} | TASK | tasks
    return cost_rows(
        FAILURES, probability, num_surrogates=1, tasks=numbers(**settings), planning=planning, prior=0.5
    )


def test_without_samples_people_see_what_the_gate_keeps() -> None:
    everything, kept = plan(BELIEVED)
    assert (everything.mined, everything.shown, everything.sampled, everything.tasks) == (3, 3, 0, 2)
    assert (kept.mined, kept.shown, kept.sampled, kept.tasks) == (3, 2, 0, 1)
    assert kept.accepted == pytest.approx(1.7) and kept.usd == pytest.approx(3.0)


def test_the_sample_of_what_the_gate_rejects_is_paid_for_and_never_accepted() -> None:
    everything, kept = plan(BELIEVED, num_rejected=30)
    assert (everything.shown, everything.sampled) == (3, 0)  # without a gate nothing is rejected
    assert (kept.shown, kept.sampled, kept.tasks) == (3, 1, 2)  # only one is rejected
    assert kept.valid_shown == pytest.approx(1.9) and kept.accepted == pytest.approx(1.7)
    # Two tasks of three responses at a dollar; 3 images and 2 times 4 sentinels, three times each.
    assert (kept.usd, kept.judgements) == pytest.approx((6.0, 33.0))
    assert kept.usd_per_accepted == pytest.approx(6.0 / 1.7)


def test_the_sample_of_images_that_are_not_mined_is_paid_for_with_and_without_a_gate() -> None:
    everything, kept = plan(BELIEVED, num_unmined=2, num_rejected=1)
    assert (everything.shown, everything.sampled, everything.tasks) == (5, 2, 3)
    assert (kept.shown, kept.sampled, kept.tasks) == (5, 3, 3)
    assert everything.valid_shown == pytest.approx(1.9 + 2 * 0.9)
    (ungated,) = plan(None, num_unmined=2, num_rejected=30)
    assert (ungated.shown, ungated.sampled) == (5, 2) and ungated.accepted == pytest.approx(1.5)
