"""What wrong answers name instead, and how far that is from the truth."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from imagenetd.reports.design import ALL, Design, share
from imagenetd.reports.evidence import ModelEvidence
from imagenetd.scoring.counts import rate_of, tally
from imagenetd.scoring.statistics.intervals import THESE_CATEGORIES, THESE_IMAGES
from imagenetd.words.imagenet import NUM_CLASSES, imagenet_ids
from imagenetd.words.wordnet import group_distances

NATURES = ("label_space", "near", "far")
UNKNOWN = "unknown"


def confusion_table(design: Design, models: Sequence[ModelEvidence], *, max_rows: int) -> pd.DataFrame:
    """Return the commonest wrong answers: category, nuisance, what was seen instead, by how many models, how often.

    `share` is the part of all answers of these models about this cell that name this class: an exact number of these
    images. The rows are chosen by it, so it says little of other seeds. `num_images` count for some of the models.
    """
    used = design.evidence.sets[design.evidence.judged] & ~design.is_control[design.cell_of_image]
    names = list(dict.fromkeys(name for model in models for name in model.class_names))
    code = {name: number for number, name in enumerate(names)}
    found: dict[str, list[np.ndarray]] = {"pair": [], "count": []}
    for model in models:
        lookup = np.array([code[name] for name in model.class_names], dtype=np.int64)
        wrong = used & model.wrong
        pairs = design.cell_of_image[wrong] * len(names) + lookup[model.predicted[wrong]]
        pair, count = np.unique(pairs, return_counts=True)
        found["pair"].append(pair)
        found["count"].append(count)
    pair = np.concatenate(found["pair"]) if models else np.zeros(0, np.int64)
    count = np.concatenate(found["count"]) if models else np.zeros(0, np.int64)
    distinct, place = np.unique(pair, return_inverse=True)
    num_models = np.bincount(place, minlength=len(distinct))
    answers = np.bincount(place, weights=count, minlength=len(distinct)).astype(np.int64)
    cell, predicted = np.divmod(distinct, max(1, len(names)))
    asked = tally([model.mark for model in models], design.cell_of_image, len(design.cells), among=used)
    known = np.any([model.counted for model in models], axis=0)
    table = design.cells.iloc[cell][["category", "kind", "nuisance"]].reset_index(drop=True)
    table = table.assign(
        predicted=[names[index] for index in predicted.tolist()],
        num_models=num_models,
        num_answers=answers,
        num_images=design.count(used & known)[cell],
        share=share(answers, asked.num_images.sum(axis=0)[cell]),
        share_for=THESE_IMAGES,
    )
    order = ["num_models", "share", "num_answers"]
    return table.sort_values(order, ascending=False, kind="stable").head(max_rows).reset_index(drop=True)


def category_confusion_table(
    design: Design, models: Sequence[ModelEvidence], *, max_rows: int
) -> pd.DataFrame:
    """Return for each model its commonest confusions of categories over all nuisances: exact shares of these images."""
    used = design.evidence.sets[design.evidence.judged] & ~design.is_control[design.cell_of_image]
    category = design.cells["category_code"].to_numpy()[design.cell_of_image]
    parts = []
    for model in models:
        images = tally([model.mark], category, len(design.categories), among=used).num_images[0]
        wrong = used & model.wrong
        size = len(model.class_names)
        pair, count = np.unique(category[wrong] * size + model.predicted[wrong], return_counts=True)
        order = np.argsort(-count, kind="stable")[:max_rows]
        of_category, predicted = np.divmod(pair[order], size)
        parts.append(
            pd.DataFrame(
                {
                    "model": model.name,
                    "category": [design.categories[index] for index in of_category.tolist()],
                    "predicted": [model.class_names[index] for index in predicted.tolist()],
                    "num_images": images[of_category],
                    "num_answers": count[order],
                    "share": share(count[order], images[of_category]),
                    "share_for": THESE_IMAGES,
                }
            )
        )
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def nature_table(design: Design, models: Sequence[ModelEvidence], *, near_distance: int) -> pd.DataFrame:
    """Return which share of each model's failures names the same thing, a near or a far one.

    `label_space`: people give both labels to one photograph, or WordNet puts one class right above the other: not
    perception, but the list of answers. `near`: at most `near_distance` steps in WordNet. `chance_share` is what
    wrong answers at random would show.
    """
    used = design.evidence.sets[design.evidence.judged] & ~design.is_control[design.cell_of_image]
    category = design.cells["category_code"].to_numpy()[design.cell_of_image]
    kinds = [
        kind for kind in [ALL, *design.kinds] if kind == ALL or design.count(used)[design.in_kind(kind)].sum()
    ]
    rows = []
    known: dict[tuple[str, tuple[str, ...]], np.ndarray] = {}
    for model in models:
        space = (model.regime, model.class_names)
        if space not in known:
            known[space] = natures(design.categories, model, near_distance=near_distance)
        nature = known[space]
        chance = _chance(
            nature, tally([model.mark], category, len(design.categories), among=used).num_wrong[0]
        )
        for kind in kinds:
            members = used & model.wrong & design.in_kind(kind)[design.cell_of_image]
            found = np.maximum(nature[category[members], model.predicted[members]], 0)
            counts = np.bincount(found, minlength=len(NATURES) + 1)
            total = int(counts.sum())
            rate = rate_of(counts, np.full(len(counts), total))
            for index, name in enumerate([*NATURES, UNKNOWN]):
                if name != UNKNOWN or counts[index]:
                    numbers = [part[index] for part in (rate.value, rate.low, rate.high)]
                    about = [model.name, kind, name, int(counts[index]), total]
                    rows.append([*about, *numbers, THESE_CATEGORIES, chance[index]])
    columns = ["model", "kind", "nature", "num_failures", "num_all_failures", "share"]
    return pd.DataFrame(rows, columns=[*columns, "wilson_low", "wilson_high", "wilson_for", "chance_share"])


def natures(categories: Sequence[str], model: ModelEvidence, *, near_distance: int) -> np.ndarray:
    """Return int "categories classes": position in NATURES, 3 where WordNet does not know the class, -1 where right."""
    classes = _imagenet_ids(model)
    nature = np.full((len(categories), len(model.class_names)), len(NATURES))
    rows = [row for row, name in enumerate(categories) if imagenet_ids(name)]
    columns = [column for column, ids in enumerate(classes) if ids]
    if not rows or not columns:
        return nature
    groups = [imagenet_ids(categories[row]) for row in rows]
    distance, is_one = group_distances(groups, [classes[column] for column in columns])
    found = np.where(is_one | (distance <= 1), 0, np.where(distance <= near_distance, 1, 2))
    nature[np.ix_(rows, columns)] = np.where(distance == 0, -1, found)
    return nature


def _imagenet_ids(model: ModelEvidence) -> list[tuple[int, ...]]:
    """Return the ImageNet ids behind each class of a model; empty where nobody knows it."""
    if model.regime == "any-of-ids" and len(model.class_names) == NUM_CLASSES:
        return [(index,) for index in range(NUM_CLASSES)]
    return [imagenet_ids(name) for name in model.class_names]


def _chance(nature: np.ndarray, failures: np.ndarray) -> np.ndarray:
    """Return the shares of the natures among wrong classes at random, for these numbers of failures per category."""
    counts = np.stack([(nature == index).sum(axis=1) for index in range(len(NATURES) + 1)], axis=1).astype(
        float
    )
    weights = failures[:, None] * share(counts, counts.sum(axis=1, keepdims=True))
    return share(np.nansum(weights, axis=0), np.array(failures.sum()))
