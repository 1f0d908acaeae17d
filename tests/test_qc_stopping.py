"""When to stop asking: chances by hand, the stated level for every accuracy, and decisions that do not change."""

import itertools

import numpy as np
import pytest

from imagenetd.config.qc import SentinelRule, StoppingConfig
from imagenetd.errors import StoreError
from imagenetd.qc.completion import Rules, missing_responses, plain_rules, read_rules
from imagenetd.qc.stopping import fixed_images, settled_images, wealth
from imagenetd.qc.tasks import Judgement, Response, Slot, SlotRole, Task

ACCURACIES = (0.5, 0.55, 0.6, 0.7, 0.8, 0.9, 0.95)


def stopping(threshold: float = 0.99, *, min_votes: int = 3, when_fixed: bool = False) -> StoppingConfig:
    return StoppingConfig(True, min_votes, threshold, when_fixed, 0.8)


def ever_settled(
    accept_shares: tuple[float, ...], num_votes: int, rule: StoppingConfig, *, share: float = 0.5
) -> tuple[np.ndarray, np.ndarray]:
    """Return the exact chances that images are ever settled as accepted, and as rejected, looked at after each vote."""
    votes, yes = np.tril_indices(num_votes + 1)
    is_settled = np.zeros((num_votes + 1, num_votes + 1), dtype=bool)
    is_yes = np.zeros_like(is_settled)
    is_settled[votes, yes] = settled_images(yes, votes, rule, share=share)
    is_yes[votes, yes] = wealth(yes, votes, share=share) > 1
    p = np.array(accept_shares)[:, None]
    mass, nothing = np.ones((len(p), 1)), np.zeros((len(p), 1))
    accepted, rejected = np.zeros(len(p)), np.zeros(len(p))
    for n in range(1, num_votes + 1):
        mass = np.hstack([mass, nothing]) * (1 - p) + np.hstack([nothing, mass]) * p
        done, accepts = is_settled[n, : n + 1], is_yes[n, : n + 1]
        accepted += mass[:, done & accepts].sum(axis=1)
        rejected += mass[:, done & ~accepts].sum(axis=1)
        mass[:, done] = 0
    return accepted, rejected


def test_the_wealth_of_equal_votes_by_hand() -> None:
    # n equal votes: 3/4 * 2^n + 1/4 * 2^(n + 1) * (1 - 2^-(n + 1)) / (n + 1)
    found = wealth(np.array([1, 7]), np.array([1, 7]), share=0.5)
    assert found.tolist() == pytest.approx([0.75 * 2 + 0.25 * 1.5, 0.75 * 128 + 0.25 * 255 / 8])


def test_the_wealth_after_a_no_by_hand() -> None:
    # yes and no once each: the all-in part is lost; 1/4 * 2 * integral of 4 q (1 - q) from 1/2 to 1 = 1/4 * 2/3
    assert wealth(np.array([1]), np.array([2]), share=0.5).tolist() == pytest.approx([1 / 6])


def test_seven_equal_votes_settle_an_image_at_99_percent_and_five_at_95() -> None:
    votes = np.arange(3, 10)
    assert settled_images(votes, votes, stopping()).tolist() == [False] * 4 + [True] * 3
    assert settled_images(0 * votes, votes, stopping()).tolist() == [False] * 4 + [True] * 3
    assert settled_images(votes, votes, stopping(0.95)).tolist() == [False] * 2 + [True] * 5


def test_nothing_is_settled_before_min_votes() -> None:
    votes = np.array([8, 9, 10])
    assert settled_images(votes, votes, stopping(min_votes=9)).tolist() == [False, True, True]


@pytest.mark.parametrize("threshold", [0.8, 0.9, 0.95, 0.99])
@pytest.mark.parametrize("num_votes", [10, 100])
def test_an_image_is_settled_the_wrong_way_no_oftener_than_stated_at_any_accuracy(
    threshold: float, num_votes: int
) -> None:
    rule = stopping(threshold, min_votes=1)
    _, valid_rejected = ever_settled(ACCURACIES, num_votes, rule)
    invalid = tuple(1 - accuracy for accuracy in ACCURACIES)
    invalid_accepted, _ = ever_settled(invalid, num_votes, rule)
    assert max(*valid_rejected, *invalid_accepted) <= 1 - threshold


@pytest.mark.parametrize("share", [0.2, 0.5, 0.7])
def test_the_level_holds_for_another_share_that_accepts(share: float) -> None:
    accepted, _ = ever_settled((share, share / 2, (1 + share) / 2), 100, stopping(0.95), share=share)
    assert max(accepted[:2]) <= 0.05 and accepted[2] > 0.3


def test_an_image_on_which_workers_are_split_stays_open() -> None:
    accepted, rejected = ever_settled((0.5,), 10, stopping())
    assert (
        accepted == rejected == pytest.approx(2**-7)
    )  # seven equal votes; after a slip ten votes do not reach it


def test_any_yes_settles_where_one_vote_accepts() -> None:
    assert wealth(np.array([1, 0]), np.array([2, 2]), share=0.0).tolist() == [np.inf, pytest.approx(0.25 / 3)]


def test_a_decision_is_fixed_exactly_when_no_course_of_the_votes_changes_it() -> None:
    for most, share in ((5, 0.5), (6, 0.5), (7, 0.7), (4, 0.0)):
        for votes in range(most + 1):
            for yes in range(votes + 1):
                ends = {
                    (yes + sum(more)) / most > share
                    for more in itertools.product((0, 1), repeat=most - votes)
                }
                found = fixed_images(np.array([yes]), np.array([votes]), most=most, share=share)
                assert found.tolist() == [len(ends) == 1]


def responses(says: list[bool]) -> list[Response]:
    return [Response("t", f"w{n}", (Judgement(0, say, say, 1.0),)) for n, say in enumerate(says)]


@pytest.mark.parametrize(
    ("when_fixed", "says", "missing"),
    [
        (False, [True] * 6, 1),
        (False, [True] * 7, 0),
        (True, [True] * 5, 1),
        (True, [True] * 6, 0),
        (True, [False] * 5, 0),  # half of the votes do not accept
        (True, [True, False] * 4, 1),
    ],
)
def test_a_task_asks_on_until_its_image_is_settled_or_fixed(
    when_fixed: bool, says: list[bool], missing: int
) -> None:
    task = Task("t", (Slot(0, "i", "mug", SlotRole.ITEM),))
    rules = Rules(10, SentinelRule.both, stopping(when_fixed=when_fixed))
    assert missing_responses([task], responses(says), rules).get("t", 0) == missing


def test_rules_of_another_version_are_one_line() -> None:
    rules = Rules(10, SentinelRule.both, stopping(), 0.6)
    assert read_rules(plain_rules(rules)) == rules
    old = plain_rules(rules) | {"stopping": {"enabled": True, "worker_accuracy": 0.9}}
    with pytest.raises(StoreError, match="another version"):
        read_rules(old)
