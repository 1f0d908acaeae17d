"""Label spaces: from stored logits to right and wrong under every regime, without running a model. Pure arithmetic.

A regime says between which choices a model decides, and which of them are right. Accuracies under two regimes differ
in difficulty (chance is 50% in one and 0.1% in another), so they are never ranked together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from imagenetd.records import LabelSpace
from imagenetd.scoring.mining import accepted_classes

ANY_OF_IDS, RESTRICTED, SUMMED, LENIENT = "any-of-ids", "restricted", "summed", "lenient"
COMPAT, TWO_CHOICE = "compat", "two-choice"
EXPLAINED = {
    ANY_OF_IDS: "best of all 1,000 classes; any of the category's ids is right (the reference)",
    RESTRICTED: "best of the benchmark's ids alone",
    SUMMED: "best category by the probability summed over its ids",
    LENIENT: "as any-of-ids, near-synonyms are right, too",
    COMPAT: "as the public script prints it: top-5 counts an image once for each of its ids",
    "zero-shot": "best of the run's categories",
    "closed-set": "best of the model's own categories",
    TWO_CHOICE: "the category, not its rival: by the larger logit, or named in words (unclear: wrong)",
    "full-list": "the only category that a chat model names, of all of them (unclear: wrong)",
    "two-choice-answered": "as two-choice in words, unclear answers left out (the public scoring)",
    "full-list-answered": "as full-list, unclear answers left out",
}


@dataclass(frozen=True)
class Regime:
    """Between what a model decides, and what is right."""

    name: str
    members: tuple[tuple[int, ...], ...] | None
    """The classes whose probabilities are summed for each choice; None: every class is a choice."""
    accepted: np.ndarray
    """Bool "categories choices"."""
    fixed_chance: float | None = None
    """Where chance does not follow from the choices: a chat model's answer can be none of them."""

    @property
    def num_choices(self) -> int:
        """Number of choices."""
        return self.accepted.shape[1]

    @property
    def chance(self) -> float:
        """Accuracy of a uniform guess, averaged over the categories."""
        if self.fixed_chance is not None:
            return self.fixed_chance
        return float(self.accepted.mean(axis=1).mean())


def regimes(
    space: LabelSpace, categories: Sequence[str], *, lenient: Mapping[str, Sequence[int]]
) -> tuple[Regime, ...]:
    """Return every regime in which a model's logits can be scored, its own (under which it is mined) first.

    Args:
        space: Of the model.
        categories: Of the images; rows of `accepted` are in this order.
        lenient: Category -> further ImageNet ids that count as right.
    """
    own = Regime(space.regime, None, accepted_classes(space, categories), space.fixed_chance)
    if space.regime != ANY_OF_IDS:
        return (own,)
    ids = sorted({index for ids in space.accepted.values() for index in ids})
    restricted = Regime(RESTRICTED, tuple((index,) for index in ids), own.accepted[:, ids])
    names = list(space.accepted)
    of_category = np.array([[name == category for name in names] for category in categories], dtype=bool)
    of_category = of_category.reshape(len(categories), len(names))
    summed = Regime(SUMMED, tuple(space.accepted[name] for name in names), of_category)
    wider = own.accepted.copy()
    for row, category in enumerate(categories):
        wider[row, list(lenient.get(category, ()))] = True
    return (own, restricted, summed, Regime(LENIENT, None, wider))


def choice_scores(
    logits: Float[np.ndarray, "images classes"], regime: Regime
) -> Float[np.ndarray, "images choices"]:
    """Return the score of each choice: its logit, or the log of its summed probability up to a constant of the image.

    >>> two = Regime("summed", ((0, 1), (2,)), np.eye(2, dtype=bool))
    >>> top_choices(choice_scores(np.log(np.array([[0.3, 0.3, 0.4]])), two), 1).tolist()
    [[0]]
    """
    if regime.members is None:
        return logits
    if all(len(member) == 1 for member in regime.members):
        return logits[:, [member[0] for member in regime.members]]
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True, initial=-np.inf)
    sums = [np.exp(shifted[:, list(member)]).sum(axis=1) for member in regime.members]
    with np.errstate(divide="ignore"):  # a probability below 1e-308 has no logarithm: it is last
        return np.log(np.stack(sums, axis=1))


def top_choices(scores: Float[np.ndarray, "images choices"], count: int) -> Int[np.ndarray, "images top"]:
    """Return the best choices, best first; of equal scores the first choice goes before.

    Everything that asks which class or category a model prefers asks here.

    >>> top_choices(np.array([[1.0, 3.0, 3.0, 2.0]]), 3).tolist()
    [[1, 2, 3]]
    """
    left = np.maximum(scores, np.finfo(scores.dtype).min)  # what is taken gets less than any score
    top = np.zeros((len(scores), min(count, scores.shape[1])), dtype=np.int64)
    images = np.arange(len(scores))
    for rank in range(top.shape[1]):
        top[:, rank] = left.argmax(axis=1)
        left[images, top[:, rank]] = -np.inf
    return top


def hits(
    top: Int[np.ndarray, "images top"],
    label: Int[np.ndarray, " images"],
    accepted: Bool[np.ndarray, "categories choices"],
) -> Int[np.ndarray, " images"]:
    """Return how many of the best choices are right for each image.

    An image counts once when this is 1 or more; the public script of ImageNet-D adds the numbers up instead, so that
    an image whose category has three ids can count three times.

    >>> three_ids = np.array([[True, True, True, False]])
    >>> hits(np.array([[0, 3, 2]]), np.array([0]), three_ids).tolist()
    [2]
    """
    return np.take_along_axis(accepted[label], top, axis=1).sum(axis=1).astype(np.int64)


def margin(scores: Float[np.ndarray, "images choices"]) -> Float[np.ndarray, " images"]:
    """Return the gap between the two best scores; below about 0.05 the order is a tie between two machines.

    >>> margin(np.array([[1.0, 4.0, 2.5]])).tolist()
    [1.5]
    """
    if scores.shape[1] < 2:
        return np.full(len(scores), np.inf, dtype=np.float64)
    best = np.take_along_axis(scores, top_choices(scores, 2), axis=1).astype(np.float64)
    return best[:, 0] - best[:, 1]


def two_choice_correct(
    scores: Float[np.ndarray, "images categories"],
    label: Int[np.ndarray, " images"],
    rival: Int[np.ndarray, " images"],
) -> Bool[np.ndarray, " images"]:
    """Mark the images whose category scores above its rival, as in a question with two answers; a tie is wrong.

    Args:
        scores: Of each category, e.g. from the regime `summed`.
        label: Column of the true category.
        rival: Column of the other answer.

    >>> two_choice_correct(np.array([[2.0, 1.0], [0.0, 1.0]]), np.array([0, 0]), np.array([1, 1])).tolist()
    [True, False]
    """
    images = np.arange(len(scores))
    return scores[images, label] > scores[images, rival]
