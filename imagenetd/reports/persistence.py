"""Do failures come back: cells chosen on some seeds and looked at on others, and models judged on others' failures."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from imagenetd.reports.design import Design, share
from imagenetd.reports.evidence import ModelEvidence
from imagenetd.reports.pairs import count_pairs
from imagenetd.scoring.counts import joint_mark, rate_of, tally
from imagenetd.scoring.statistics.intervals import (
    OTHER_CATEGORIES,
    THESE_IMAGES,
    clustered_difference,
    clustered_share,
)
from imagenetd.scoring.statistics.variance import cell_correlation

PERSISTENCE_COLUMNS = [
    *("failure_of", "role", "num_cells", "cell_correlation", "cell_correlation_low", "cell_correlation_high"),
    *("num_selected", "images_per_half", "rate_where_selected"),
    *("persistence", "persistence_low", "persistence_high", "base_rate", "base_low", "base_high"),
    *("excess", "excess_low", "excess_high", "retained", "retained_for", "population"),
]


def persistence_table(design: Design, *, min_share: float) -> pd.DataFrame:
    """Return how alike the images of one cell are, and how often a cell chosen for its failures fails on other seeds.

    `cell_correlation` is the intra-class correlation of failures: 0 where a cell's images fail as those of any cell, 1
    where all or none of them do. It does not depend on the number of images. Chosen are the cells of which at least
    `min_share` of the images of one half of the seeds fail; both halves take both parts. `persistence` is the rate of
    failure on the half that did not choose, `base_rate` that of all cells there: equal where cells are alike.
    `retained` is the part of the apparent excess that comes back; it rises with `images_per_half`, as the mean of m
    images has the reliability m r / (1 + (m - 1) r) at a correlation of r (Spearman 1910, Brown 1910), so pools are
    compared by r. All intervals are for other categories.
    """
    evidence = design.evidence
    used = evidence.sets[evidence.judged] & ~design.is_control[design.cell_of_image]
    half = evidence.images["seed_index"].to_numpy() % 2
    size = len(design.cells)
    subjects = [model.mark for model in evidence.of_role("target")]
    surrogates = [model.mark for model in evidence.of_role("surrogate")]
    if surrogates and "mined" in evidence.sets:
        together = joint_mark("all surrogates", "surrogate", surrogates, least=evidence.min_failures)
        subjects.insert(0, replace(together, correct=~evidence.sets["mined"]))
    found = tally(subjects, half * size + design.cell_of_image, 2 * size, among=used)
    rows = []
    for place, subject in enumerate(subjects):
        failures, images = (part[place].reshape(2, size) for part in (found.num_wrong, found.num_images))
        sums, num_cells = _persistence_sums(design, images, failures, min_share)
        if num_cells:
            alike = cell_correlation(
                *(
                    design.square(part.sum(axis=0).astype(np.float64), ~design.is_control)
                    for part in (failures, images)
                )
            )
            about = [
                subject.model,
                subject.role,
                num_cells,
                *map(float, (alike.value, alike.low, alike.high)),
            ]
            rows.append([*about, *_persistence(sums), THESE_IMAGES, OTHER_CATEGORIES])
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


def _persistence(sums: np.ndarray) -> list[float]:
    used = sums[sums[:, 6] > 0]
    selected, seen_failures, seen_images = used[:, :3].sum(axis=0)
    again, base = clustered_share(used[:, 3], used[:, 4]), clustered_share(used[:, 5], used[:, 6])
    excess = clustered_difference(used[:, 3], used[:, 4], used[:, 5], used[:, 6])
    rates = [float(rate_of(used[:, place].sum(), used[:, place + 1].sum()).value) for place in (3, 5)]
    seen = float(rate_of(seen_failures, seen_images).value)
    retained = float(excess.value) / (seen - rates[1]) if seen > rates[1] else np.nan
    ends = [[float(found.low), float(found.high)] for found in (again, base, excess)]
    numbers = [rates[0], *ends[0], rates[1], *ends[1], float(excess.value), *ends[2], retained]
    return [int(selected), float(share(seen_images, selected)), seen, *numbers]


TRANSFER_COLUMNS = [
    *("source", "source_role", "source_family", "destination", "destination_role", "destination_family"),
    *(
        "num_source_failures",
        "failure_rate",
        "failure_rate_low",
        "failure_rate_high",
        "num_images",
        "failure_rate_given_source",
        "given_low",
        "given_high",
        "excess",
        "excess_low",
        "excess_high",
        "lift",
        "lift_for",
        "population",
    ),
]


def transfer_table(design: Design) -> pd.DataFrame:
    """Return for each ordered pair of models how often the one fails where the other fails, against its own rate.

    Both rates are over the images that count for both. All intervals are for other categories; `lift`, the ratio of
    the two rates, is an exact number of these images.
    """
    evidence = design.evidence
    models: Sequence[ModelEvidence] = [model for model in evidence.models if model.role != "gate"]
    used = evidence.sets[evidence.judged] & ~design.is_control[design.cell_of_image]
    category = design.cells["category_code"].to_numpy()[design.cell_of_image]
    source, destination = np.nonzero(~np.eye(len(models), dtype=bool))
    counts = count_pairs(models, used, category, (source, destination))
    images, both = counts.images, counts.neither
    of_source, of_destination = images - counts.right_a, images - counts.right_b
    found = clustered_difference(both, of_source, of_destination, images)
    rate, where = clustered_share(of_destination, images), clustered_share(both, of_source)
    own = rate_of(of_destination.sum(axis=0), images.sum(axis=0)).value
    given = rate_of(both.sum(axis=0), of_source.sum(axis=0)).value
    about = {
        f"{side}{suffix}": [getattr(models[place], attribute) for place in index.tolist()]
        for side, index in (("source", source), ("destination", destination))
        for suffix, attribute in (("", "name"), ("_role", "role"), ("_family", "family"))
    }
    numbers = {
        **{"num_source_failures": of_source.sum(axis=0).astype(np.int64), "failure_rate": own},
        **{"failure_rate_low": rate.low, "failure_rate_high": rate.high},
        "num_images": images.sum(axis=0).astype(np.int64),
        **{"failure_rate_given_source": given, "given_low": where.low, "given_high": where.high},
        "excess": found.value,
        **{"excess_low": found.low, "excess_high": found.high, "lift": share(given, own)},
        "lift_for": THESE_IMAGES,
    }
    return pd.DataFrame(about | numbers | {"population": OTHER_CATEGORIES})[TRANSFER_COLUMNS]
