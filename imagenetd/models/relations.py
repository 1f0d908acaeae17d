"""What a target shares with the surrogates that chose the images: its family, its training data, or nothing known."""

from collections.abc import Sequence
from dataclasses import dataclass

SAME_FAMILY = "same family"
SHARED_DATA = "unseen family, shared training data"
UNKNOWN_DATA = "unseen family, training data unknown"
UNSEEN = "unseen family"
NO_SURROGATES = "target"
"""Of a target where no surrogate chose the images: then nothing is seen or unseen."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a model's mistakes may come from."""

    family: str
    """Models of one family make similar mistakes."""
    training_data: tuple[str, ...] = ()
    """Names of the data sets that its weights have seen, also in pre-training; empty: unknown."""


def data_names(given: Sequence[str] | str | None) -> tuple[str, ...]:
    """Return the names of training data in one spelling, sorted; none for null, which means unknown.

    >>> data_names(["ImageNet-1k", "laion_2b"])
    ('imagenet-1k', 'laion-2b')
    >>> data_names(None)
    ()
    """
    names = [given] if isinstance(given, str) else given or []
    return tuple(sorted({"-".join(str(name).lower().replace("_", " ").split()) for name in names}))


def relation(role: str, model: Origin, surrogates: Sequence[Origin]) -> str:
    """Return what a model is to the surrogates; for other roles than `target` the role itself.

    A family that no surrogate has makes no unseen model if both learned from one data set; where the data of either
    are not declared, that is said instead of guessed.

    >>> relation("target", Origin("resnet", ("imagenet-1k",)), [Origin("clip", ("openai-wit",))])
    'unseen family'
    """
    if role != "target":
        return role
    if not surrogates:
        return NO_SURROGATES
    if any(model.family == other.family for other in surrogates):
        return SAME_FAMILY
    if any(set(model.training_data) & set(other.training_data) for other in surrogates):
        return SHARED_DATA
    if not model.training_data or any(not other.training_data for other in surrogates):
        return UNKNOWN_DATA
    return UNSEEN
