"""Do failures come back: cells chosen on some seeds and looked at on others, and models judged on others' failures."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from imagenetd.reports.design import Design, share
from imagenetd.reports.evidence import ModelEvidence
from imagenetd.statistics.bootstrap import interval_of, resampled_sums
from imagenetd.statistics.paired import pair_sums

PERSISTENCE_COLUMNS = [
    *(
        "failure_of",
        "role",
        "num_cells",
        "num_selected",
        "rate_where_selected",
        "persistence",
        "persistence_low",
    ),
    *("persistence_high", "base_rate", "excess", "excess_low", "excess_high", "retained"),
]


def persistence_table(design: Design, *, min_share: float, num_draws: int, seed: int) -> pd.DataFrame:
    """Return how often a cell that was chosen for its failures on half of the seeds fails on the other half.

    Chosen are the cells of which at least `min_share` of the images of the one half fail; both halves take both
    parts. `persistence` is the rate of failure on the half that did not choose, `base_rate` that of all cells there:
    equal when failures are luck. `retained` is the part of the apparent excess that comes back.
    """
    evidence = design.evidence
    used = evidence.sets[evidence.judged] & ~design.is_control[design.cell_of_image]
    half = evidence.images["seed_index"].to_numpy() % 2
    size = len(design.cells)
    cell = design.cell_of_image
    images = np.stack([np.bincount(cell[used & (half == side)], minlength=size) for side in (0, 1)])
    subjects = [("all surrogates", "surrogate", evidence.sets["mined"])] if "mined" in evidence.sets else []
    subjects += [(model.name, model.role, ~model.correct) for model in evidence.of_role("target")]
    rows = []
    for name, role, fails in subjects:
        failures = [np.bincount(cell[used & fails & (half == side)], minlength=size) for side in (0, 1)]
        sums, num_cells = _persistence_sums(design, images, np.stack(failures), min_share)
        if num_cells:
            rows.append([name, role, num_cells, *_persistence(sums, num_draws=num_draws, seed=seed)])
    return pd.DataFrame(rows, columns=PERSISTENCE_COLUMNS)


def _persistence_sums(
    design: Design, images: np.ndarray, failures: np.ndarray, min_share: float
) -> tuple[np.ndarray, int]:
    """Return "categories columns", and how many cells have images in both halves.

    Columns: cells chosen; their failures and images on the choosing half; the same on the other; both of all cells.
    """
    both = np.all(images > 0, axis=0)
    columns = np.zeros((7, len(both)))
    for chooses, confirms in ((0, 1), (1, 0)):
        is_chosen = both & (failures[chooses] >= np.maximum(1, min_share * images[chooses]))
        columns[0] += is_chosen
        columns[1] += is_chosen * failures[chooses]
        columns[2] += is_chosen * images[chooses]
        columns[3] += is_chosen * failures[confirms]
        columns[4] += is_chosen * images[confirms]
        columns[5] += both * failures[confirms]
        columns[6] += both * images[confirms]
    return design.by_category(columns).T, int(both.sum())


def _persistence(sums: np.ndarray, *, num_draws: int, seed: int) -> list[float]:
    used = sums[sums[:, 6] > 0]
    total, drawn = used.sum(axis=0), resampled_sums(used, num_draws=num_draws, seed=seed)
    sums_of = np.vstack([total, drawn])
    rate, base = share(sums_of[:, 3], sums_of[:, 4]), share(sums_of[:, 5], sums_of[:, 6])
    both = np.stack([rate, rate - base], axis=1)
    found = interval_of(both[0], both[1:], num_clusters=len(used), bounds=(-1.0, 1.0))
    seen = float(share(total[1], total[2]))
    excess = float(found.value[1])
    retained = excess / (seen - float(base[0])) if seen > base[0] else np.nan
    persistence = [float(rate[0]), max(0.0, float(found.low[0])), float(found.high[0])]
    numbers = [float(base[0]), excess, float(found.low[1]), float(found.high[1]), retained]
    return [int(total[0]), seen, *persistence, *numbers]


TRANSFER_COLUMNS = [
    *("source", "source_role", "source_family", "destination", "destination_role", "destination_family"),
    *(
        "num_source_failures",
        "failure_rate",
        "failure_rate_given_source",
        "excess",
        "excess_low",
        "excess_high",
        "lift",
    ),
]


def transfer_table(design: Design, *, num_draws: int, seed: int) -> pd.DataFrame:
    """Return for each ordered pair of models how often the one fails where the other fails, against its own rate."""
    evidence = design.evidence
    models: Sequence[ModelEvidence] = [model for model in evidence.models if model.role != "gate"]
    used = evidence.sets[evidence.judged] & ~design.is_control[design.cell_of_image]
    category = design.cells["category_code"].to_numpy()[design.cell_of_image[used]]
    fails = np.stack([~model.correct[used] for model in models])
    both = pair_sums(fails, category, len(design.categories))
    images = np.bincount(category, minlength=len(design.categories)).astype(np.float64)
    both, images = both[images > 0], images[images > 0]
    size = len(models)
    source, destination = np.nonzero(~np.eye(size, dtype=bool))
    flat = np.hstack([images[:, None], both.reshape(len(both), -1)])
    total, drawn = flat.sum(axis=0), resampled_sums(flat, num_draws=num_draws, seed=seed)
    shared, alone = 1 + source * size + destination, 1 + np.arange(size) * (size + 1)
    given, own = share(total[shared], total[alone[source]]), share(total[alone[destination]], total[:1])
    moved = share(drawn[:, shared], drawn[:, alone[source]])
    moved = moved - share(drawn[:, alone[destination]], drawn[:, :1])
    found = interval_of(given - own, moved, num_clusters=len(images), bounds=(-1.0, 1.0))
    about = {
        f"{side}{suffix}": [getattr(models[place], attribute) for place in index.tolist()]
        for side, index in (("source", source), ("destination", destination))
        for suffix, attribute in (("", "name"), ("_role", "role"), ("_family", "family"))
    }
    numbers = {
        **{"num_source_failures": total[alone[source]].astype(np.int64), "failure_rate": own},
        **{"failure_rate_given_source": given, "excess": found.value},
        **{"excess_low": found.low, "excess_high": found.high, "lift": share(given, own)},
    }
    return pd.DataFrame(about | numbers)[TRANSFER_COLUMNS]
