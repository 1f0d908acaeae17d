"""What every way of quality control gives: votes, and the images that still wait for some.

The rule is the paper's (section 3.3): a worker accepts an image when the object can be recognised (Q1) or used (Q2); an
image is accepted when more than half of its votes accept it.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from imagenetd.records import Vote


@dataclass(frozen=True, slots=True)
class Ballot:
    """The votes there are, and what is still to be done for the others."""

    votes: tuple[Vote, ...]
    waiting_for: tuple[str, ...] = ()
    """Ids of the images without enough votes."""
    to_do: str = ""
    """One line: how the missing votes are given."""


def accepts(vote: Vote) -> bool:
    """Tell whether one worker accepts the image: Q1 or Q2."""
    return vote.can_recognise or vote.can_use


def accepted_images(votes: Iterable[Vote], image_ids: Sequence[str]) -> list[bool]:
    """Return, for each image, whether more than half of its votes accept it; an image without votes is rejected.

    >>> yes, no = Vote("a", "w1", True, False, 1.0), Vote("a", "w2", False, False, 1.0)
    >>> accepted_images([yes, no], ["a", "b"]), accepted_images([yes], ["a"])
    ([False, False], [True])
    """
    answers: dict[str, list[bool]] = defaultdict(list)
    for vote in votes:
        answers[vote.image_id].append(accepts(vote))
    return [2 * sum(answers[image_id]) > len(answers[image_id]) for image_id in image_ids]
