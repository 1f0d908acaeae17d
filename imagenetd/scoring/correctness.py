"""From stored logits to right and wrong: which model is right on which image."""

from collections.abc import Sequence

import numpy as np

from imagenetd.errors import ModelError
from imagenetd.images.pool import Pool
from imagenetd.records import LabelSpace
from imagenetd.scoring.image_record import class_titles
from imagenetd.scoring.mining import accepted_classes, is_correct
from imagenetd.scoring.predictions import read_logits
from imagenetd.store.folders import StageFolder


def labels(pool: Pool) -> tuple[list[str], np.ndarray]:
    """Return the categories of a pool in order of appearance, and each image's position among them."""
    names = list(dict.fromkeys(pool.table["category"]))
    position = {name: number for number, name in enumerate(names)}
    return names, pool.table["category"].map(position).to_numpy(dtype=np.int64)


def correct_matrix(pool: Pool, models: Sequence[tuple[StageFolder, LabelSpace]]) -> np.ndarray:
    """Return bool "models images": right in each model's own label space."""
    categories, label = labels(pool)
    rows = []
    for folder, space in models:
        logits = read_logits(folder.path, pool)
        try:
            rows.append(is_correct(logits, label, accepted_classes(space, categories)))
        except ValueError as error:
            raise ModelError(f"{folder.path}: {error} Delete this folder and run again.") from error
    return np.stack(rows)


def counted_matrix(pool: Pool, models: Sequence[tuple[StageFolder, LabelSpace]]) -> np.ndarray:
    """Return bool "models images": false where a model's scoring leaves an image without an answer out."""
    counted = np.ones((len(models), pool.layout.num_images), dtype=bool)
    for row, (folder, space) in enumerate(models):
        if space.leaves_out:
            best = read_logits(folder.path, pool).argmax(axis=1)
            counted[row] = best < space.num_classes - len(space.outcomes)
    return counted


def predicted_names(pool: Pool, folder: StageFolder, space: LabelSpace) -> list[str]:
    """Return the class that a model names for each image."""
    best = read_logits(folder.path, pool).argmax(axis=1)
    names = class_titles(space)
    return [names[index] for index in best.tolist()]
