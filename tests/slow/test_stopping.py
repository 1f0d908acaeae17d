"""What stopping early does in simulated crowds: how often it is wrong, what it saves, and what it does to agreement."""

import numpy as np
import pytest

from imagenetd.config.qc import StoppingConfig
from imagenetd.qc.stopping import fixed_images, settled_images

pytestmark = pytest.mark.slow

MOST = 10


def simulate(
    accept_share: np.ndarray, rule: StoppingConfig, *, task_size: int, seed: int = 0
) -> dict[str, np.ndarray]:
    """Ask about many tasks at once, one vote after the other, until each is closed.

    Args:
        accept_share: For each image the chance that a worker accepts it; tasks are rows of neighbours.
        rule: When to stop.
        task_size: Images of a task.
        seed: Of the votes.
    """
    rng = np.random.default_rng(seed)
    votes = rng.random((MOST, len(accept_share))) < accept_share
    yes, asked = np.zeros(len(accept_share), int), np.full(len(accept_share), MOST)
    settled_yes, settled_no = np.zeros(len(yes), bool), np.zeros(len(yes), bool)
    running = np.ones(len(yes) // task_size, bool)
    for number in range(1, MOST + 1):
        open_image = np.repeat(running, task_size)
        yes += votes[number - 1] & open_image
        counts = np.full(len(yes), number)
        settled = settled_images(yes, counts, rule) & open_image
        settled_yes |= settled & (2 * yes > number)
        settled_no |= settled & (2 * yes < number)
        done = settled_yes | settled_no
        if rule.when_fixed:
            done = done | fixed_images(yes, counts, most=MOST)
        closes = running & done.reshape(-1, task_size).all(axis=1)
        asked[np.repeat(closes, task_size)] = number
        running &= ~closes
    return {
        "yes": yes,
        "asked": asked,
        "settled_yes": settled_yes,
        "settled_no": settled_no,
        "all": votes.sum(axis=0),
    }


@pytest.mark.parametrize("accuracy", [0.6, 0.7, 0.8, 0.9, 0.95])
@pytest.mark.parametrize("is_valid", [True, False])
@pytest.mark.parametrize("threshold", [0.95, 0.99])
def test_settled_the_wrong_way_no_oftener_than_stated(
    accuracy: float, is_valid: bool, threshold: float
) -> None:
    share = np.full(50_000, accuracy if is_valid else 1 - accuracy)
    found = simulate(share, StoppingConfig(True, 3, threshold, False, 0.8), task_size=1)
    wrong = found["settled_no" if is_valid else "settled_yes"].mean()
    right = found["settled_yes" if is_valid else "settled_no"].mean()
    print(
        f"accuracy {accuracy}, valid {is_valid}, level {threshold}: wrong {wrong:.4%}, right {right:.1%}, "
        f"{found['asked'].mean():.2f} votes"
    )
    assert wrong <= 1 - threshold


@pytest.mark.parametrize("task_size", [1, 16])
@pytest.mark.parametrize("accuracy", [0.6, 0.7, 0.8, 0.9, 0.95, 0.99])
def test_what_stopping_saves_and_that_fixed_decisions_are_those_of_all_votes(
    task_size: int, accuracy: float
) -> None:
    rng = np.random.default_rng(1)
    share = np.where(rng.random(64_000) < 0.8, accuracy, 1 - accuracy)
    means = []
    for when_fixed in (False, True):
        found = simulate(share, StoppingConfig(True, 3, 0.99, when_fixed, 0.8), task_size=task_size)
        same = (2 * found["yes"] > found["asked"]) == (2 * found["all"] > MOST)
        means.append(found["asked"].mean())
        assert same.mean() >= 0.999 and (not when_fixed or same.all())
    print(
        f"tasks of {task_size}, accuracy {accuracy}: settled {means[0]:.2f}, fixed {means[1]:.2f} of {MOST} votes"
    )
    assert means[1] <= means[0] <= MOST


@pytest.mark.parametrize("task_size", [1, 16])
def test_agreement_of_all_votes_is_biased_by_stopping_and_that_of_the_first_votes_is_not(
    task_size: int,
) -> None:
    """Every vote accepts with chance 0.75, whatever the image: agreement as the mean share that accepts is 0.75."""
    found = simulate(np.full(48_000, 0.75), StoppingConfig(True, 3, 0.99, True, 0.8), task_size=task_size)
    shown = (found["yes"] / found["asked"]).mean()
    print(f"tasks of {task_size}: agreement {shown:.3f} instead of 0.75 at {found['asked'].mean():.1f} votes")
    assert 0.745 < shown < 0.80
