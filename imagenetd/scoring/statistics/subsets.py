"""Mining with every subset of the surrogates at once: each image's failures are the bits of one integer."""

import itertools

import numpy as np
from jaxtyping import Bool, Float, Int

MAX_SURROGATES = 62


def failure_codes(correct: Bool[np.ndarray, "surrogates images"]) -> Int[np.ndarray, " images"]:
    """Return an integer for each image whose bit i says that surrogate i fails.

    >>> failure_codes(np.array([[True, False], [False, False]])).tolist()
    [2, 3]
    """
    if len(correct) > MAX_SURROGATES:
        raise ValueError(f"{len(correct)} surrogates do not fit one integer; {MAX_SURROGATES} do.")
    bits = np.int64(1) << np.arange(len(correct), dtype=np.int64)
    codes = np.zeros(correct.shape[1], dtype=np.int64)
    for bit, row in zip(bits, correct, strict=True):
        codes[~row] |= bit
    return codes


def is_mined(
    codes: Int[np.ndarray, " codes"],
    subsets: Int[np.ndarray, " rows"],
    min_failures: Int[np.ndarray, " rows"],
) -> Bool[np.ndarray, "rows codes"]:
    """Tell for each subset (bits) and k whether an image of this code is a shared failure.

    >>> is_mined(np.array([0, 1, 3]), np.array([3, 3]), np.array([1, 2])).tolist()
    [[False, True, True], [False, False, True]]
    """
    return np.bitwise_count(codes & subsets[:, None]) >= min_failures[:, None]


def choose_subsets(
    num_surrogates: int, *, max_rows: int, seed: int
) -> tuple[Int[np.ndarray, " rows"], Int[np.ndarray, " rows"]]:
    """Return subsets (bits) and k: every subset with every k, or a sample where these are more than `max_rows`.

    A sample has the same number of subsets of each size, each with k = size, and the full set with every k.
    """
    full = (1 << num_surrogates) - 1
    if num_surrogates * 2 ** (num_surrogates - 1) <= max_rows:
        rows = [(bits, k) for bits in range(1, full + 1) for k in range(1, bits.bit_count() + 1)]
    else:
        random = np.random.default_rng(seed)
        rows = [(full, k) for k in range(1, num_surrogates + 1)]
        for size in range(1, num_surrogates):
            drawn = _some_subsets(num_surrogates, size, max_rows // num_surrogates, random)
            rows += [(bits, size) for bits in drawn]
    subsets, min_failures = np.array(sorted(rows), dtype=np.int64).T
    return subsets, min_failures


def _some_subsets(num_surrogates: int, size: int, most: int, random: np.random.Generator) -> list[int]:
    every = itertools.combinations(range(num_surrogates), size)
    first = list(itertools.islice(every, most + 1))
    if len(first) > most:
        first = [tuple(random.permutation(num_surrogates)[:size].tolist()) for _ in range(most)]
    return sorted({sum(1 << index for index in chosen) for chosen in first})


def rank_agreement(
    accuracy: Float[np.ndarray, "rows models"],
    reference: Float[np.ndarray, " models"],
    is_fair: Bool[np.ndarray, "models models"],
) -> Float[np.ndarray, " rows"]:
    """Return Kendall's tau-a between each row's order of the models and the reference's: 1 the same, -1 reversed.

    Args:
        accuracy: NaN rows (no image) give NaN.
        reference: For example the accuracies on the full mined set.
        is_fair: Which pairs may be compared.
    """
    first, second = np.nonzero(np.triu(is_fair, 1))
    if len(first) == 0:
        return np.full(len(accuracy), np.nan)
    here = np.sign(accuracy[:, first] - accuracy[:, second])
    there = np.sign(reference[first] - reference[second])
    return (here * there).mean(axis=1)
