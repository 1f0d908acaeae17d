"""By which sampling arm, and with what probability, people were asked about each image of a pool. Pure."""

import enum
import hashlib
import zlib
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from imagenetd.errors import StoreError

NUM_FOLDS = 5
"""What an image's own votes say never decides about it: a gate is calibrated on the votes of the other folds."""


class Arm(enum.StrEnum):
    """Why people are asked about an image; within an arm all images have the same chance."""

    MINED = "mined"
    """Hard, and kept by the gate if there is one: all are asked."""
    REJECTED_BY_GATE = "rejected_by_gate"
    """Hard, but the gate does not see the object: a random sample (qc.tasks.num_rejected)."""
    UNMINED = "unmined"
    """Not hard: a random sample (qc.tasks.num_unmined)."""
    NOT_ASKED = "not_asked"
    """The neutral prompt, or flagged: nobody is ever asked; in no estimate."""


@dataclass(frozen=True)
class Sampling:
    """The arm and the probability of every image of a pool, in its order."""

    arm: tuple[str, ...]
    probability: Float[np.ndarray, " images"]
    """That people were asked about the image: asked images of its arm / images of its arm."""

    def sizes(self) -> dict[str, int]:
        """Return the images of each arm."""
        return dict(sorted(Counter(self.arm).items()))


def arms_of(
    mined: Bool[np.ndarray, " images"],
    passes: Bool[np.ndarray, " images"],
    others: Bool[np.ndarray, " images"],
) -> tuple[str, ...]:
    """Return each image's arm.

    Args:
        mined: Hard images.
        passes: The gate before people accepts them; all True without a gate.
        others: The images from which the unmined ones are drawn.
    """
    names = np.where(
        mined, np.where(passes, Arm.MINED, Arm.REJECTED_BY_GATE), np.where(others, Arm.UNMINED, Arm.NOT_ASKED)
    )
    return tuple(str(name) for name in names.tolist())


def sampling_of(arm: tuple[str, ...], asked: Bool[np.ndarray, " images"]) -> Sampling:
    """Return the probabilities that follow from who was asked: a simple random sample within each arm."""
    sizes, chosen = (
        Counter(arm),
        Counter(name for name, is_asked in zip(arm, asked.tolist(), strict=True) if is_asked),
    )
    return Sampling(arm, np.array([chosen[name] / sizes[name] for name in arm]))


def sample(members: Bool[np.ndarray, " images"], size: int, *, seed: int) -> Bool[np.ndarray, " images"]:
    """Mark a simple random sample of some images; all of them where they are fewer than `size`."""
    drawn = np.random.default_rng([seed, 1]).permutation(np.flatnonzero(members))[:size]
    marked = np.zeros(len(members), dtype=bool)
    marked[drawn] = True
    return marked


def digest(image_ids: Sequence[str], sampling: Sampling) -> str:
    """Return a hash of every image's arm and probability, for the record of the stage."""
    rows = zip(image_ids, sampling.arm, sampling.probability.tolist(), strict=True)
    return hashlib.sha256(
        "\n".join(f"{name} {arm} {chance!r}" for name, arm, chance in rows).encode()
    ).hexdigest()


def require_sound(
    image_ids: Sequence[str], sampling: Sampling, judged: Collection[str], *, recorded: str | None, where: str
) -> None:
    """Raise StoreError unless the probabilities are those that were recorded and follow from who was judged.

    Args:
        image_ids: Of the pool.
        sampling: As it was read.
        judged: Ids of the images with votes.
        recorded: `digest` as the stage recorded it.
        where: The file, for the message.
    """
    known = set(judged)
    expected = sampling_of(sampling.arm, np.array([name in known for name in image_ids], dtype=bool))
    is_sound = np.allclose(expected.probability, sampling.probability, rtol=0, atol=1e-12, equal_nan=False)
    if not is_sound or recorded != digest(image_ids, sampling):
        raise StoreError(
            f"{where} gives sampling arms or inclusion probabilities that are not those of its votes: it was damaged "
            "or edited. Delete its folder and run quality control again; the votes themselves are kept."
        )


def folds(image_ids: Sequence[str]) -> Int[np.ndarray, " images"]:
    """Return the fold of each image, 0 to `NUM_FOLDS` - 1; it depends on the id alone."""
    return np.array([zlib.crc32(str(name).encode()) % NUM_FOLDS for name in image_ids], dtype=np.int64)
