"""How often several models would all be wrong if their mistakes on the images of a cell were independent."""

import numpy as np
from jaxtyping import Bool, Float, Int

MAX_WORK = 2e9
"""Multiplications; with very many models the number is not measured."""


def independent_share(
    wrong: Bool[np.ndarray, "models images"], cell: Int[np.ndarray, " images"], num_cells: int
) -> Float[np.ndarray, " cells"]:
    """Return for each cell the share of images on which all models would be wrong, without bias.

    The product of the models' rates of mistakes on the same images is too large by their covariance / m: one image
    stands in both rates. Here every model is asked on another image of the cell, over all ways to do so (a
    U-statistic): for two models of rates p1, p2 that are both wrong on a share p12 of m images it is
    (m p1 p2 - p12) / (m - 1). NaN for cells with fewer images than models, and for fewer than two models: one image
    a cell cannot tell independent mistakes from others.

    >>> wrong = np.array([[True, True, False, False], [True, False, False, False]])
    >>> independent_share(wrong, np.zeros(4, dtype=np.int64), 1).round(4).tolist()  # (4 x .5 x .25 - .25) / 3
    [0.0833]
    """
    models, images = wrong.shape
    found = np.full(num_cells, np.nan)
    counts = np.bincount(cell, minlength=num_cells)
    measured = np.flatnonzero(counts >= max(models, 2)) if models > 1 else np.zeros(0, dtype=np.int64)
    if not len(measured) or len(measured) * 2.0**models * models * counts.max() > MAX_WORK:
        return found
    order = np.argsort(cell, kind="stable")
    first = np.concatenate([[0], np.cumsum(counts)])[:-1]
    subsets = np.arange(2**models)
    # Images come one after the other; each takes the place of one model that has none yet, or of none.
    ways = np.zeros((len(measured), len(subsets)))
    ways[:, 0] = 1
    for place in range(int(counts[measured].max())):
        here = counts[measured] > place
        image = order[first[measured[here]] + place]
        before, after = ways[here], ways[here].copy()
        for number in range(models):
            with_it = subsets[subsets >> number & 1 == 1]
            after[:, with_it] += before[:, with_it ^ (1 << number)] * wrong[number, image][:, None]
        ways[here] = after
    size = counts[measured].astype(np.float64)
    found[measured] = ways[:, -1] / np.prod(size[:, None] - np.arange(models), axis=1)
    return found
