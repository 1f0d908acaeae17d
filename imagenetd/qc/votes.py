"""What every way of quality control gives: votes, and the images that still wait for some.

The rule is the paper's (section 3.3): a worker accepts an image when the object can be recognised (Q1) or used (Q2); an
image is accepted when more than half of its votes accept it.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from imagenetd.qc.sampling import Sampling
from imagenetd.qc.summary import GateSummary, PeopleSummary
from imagenetd.records import Vote

VOTES_FILE, DECISIONS_FILE = "votes.parquet", "decisions.parquet"
"""What a finished stage of quality control leaves behind."""


@dataclass(frozen=True, slots=True)
class Ballot:
    """The votes there are, and what is still to be done for the others."""

    votes: tuple[Vote, ...]
    waiting_for: tuple[str, ...] = ()
    """Ids of the images without enough votes."""
    to_do: str = ""
    """One line: what is missing."""
    accepted: frozenset[str] | None = None
    """Ids of the images that are valid, when something else than the majority of the votes decides."""
    not_asked: frozenset[str] = frozenset()
    """Ids of mined images that a gate rejected before people; they are not accepted, even where a sample is judged."""
    sampling: Sampling | None = None
    """With what probability each image of the pool was judged; None: nobody judges."""
    summary: PeopleSummary | GateSummary | None = None
    """What was found; None while votes are missing."""
    tables: Mapping[str, Sequence[Mapping[str, object]]] = field(default_factory=dict)
    """Name -> rows; written as CSV beside the votes."""


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
