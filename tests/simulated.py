"""Evidence with a known truth: models whose chance of being right on every image is written down."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from imagenetd.records import Score
from imagenetd.reports.evidence import Evidence, ModelEvidence
from imagenetd.scoring.counts import Mark, count_answers, score_rows

CLASSES = tuple(f"c{number}" for number in range(12))


def grid(
    num_categories: int = 6,
    nuisances: Mapping[str, int] | None = None,
    num_seeds: int = 4,
    num_neutral: int = 0,
) -> pd.DataFrame:
    """Return the images of a full pool: every category with every nuisance, and a control arm if asked for."""
    words = nuisances or {"background": 3, "texture": 2}
    cells = [(kind, f"{kind}{n}") for kind, count in words.items() for n in range(count)]
    rows = [
        (f"c{category}", kind, word, seed)
        for category in range(num_categories)
        for kind, word in cells
        for seed in range(num_seeds)
    ]
    rows += [(f"c{c}", "neutral", "", seed) for c in range(num_categories) for seed in range(num_neutral)]
    table = pd.DataFrame(rows, columns=["category", "kind", "nuisance", "seed_index"])
    table["image_id"] = [f"{number:016x}" for number in range(len(table))]
    table["text"] = "a photo"
    return table


def model(
    name: str,
    correct: np.ndarray,
    images: pd.DataFrame,
    *,
    role: str = "target",
    family: str | None = None,
    regime: str = "zero-shot",
    confidence: np.ndarray | None = None,
    training_data: tuple[str, ...] = (),
    counted: np.ndarray | None = None,
) -> ModelEvidence:
    """Return a model with these right and wrong answers; a wrong one names the next category. By default all count."""
    label = images["category"].str[1:].astype(int).to_numpy()
    return ModelEvidence(
        name=name,
        role=role,
        family=family or name,
        regime=regime,
        chance=1 / len(CLASSES),
        class_names=CLASSES,
        predicted=np.where(correct, label, (label + 1) % len(CLASSES)).astype(np.int32),
        correct=correct,
        confidence=np.full(len(images), 0.9, np.float32) if confidence is None else confidence,
        counted=np.ones(len(images), bool) if counted is None else counted,
        training_data=training_data,
    )


def evidence(
    images: pd.DataFrame,
    models: Sequence[ModelEvidence],
    *,
    min_failures: int | None = None,
    accepted: np.ndarray | None = None,
    baseline: pd.DataFrame | None = None,
) -> Evidence:
    """Mine with the surrogates among the models; `accepted` says which images show their object."""
    wrong = np.stack([m.wrong for m in models if m.role == "surrogate"] or [np.zeros(len(images), bool)])
    required = min_failures or len(wrong)
    mined = (wrong.sum(axis=0) >= required) & (images["kind"] != "neutral").to_numpy()
    sets = {"pool": np.ones(len(images), bool), "mined": mined, "accepted": mined}
    if accepted is not None:
        sets |= {"accepted": mined & accepted, "pool_accepted": accepted}
    return Evidence(images, tuple(models), sets, required, baseline)


def scores(
    correct: np.ndarray,
    *,
    models: Sequence[tuple[str, str]],
    kinds: Sequence[str],
    nuisances: Sequence[str],
    sets: Mapping[str, np.ndarray],
) -> list[Score]:
    """Return the scores of models (name and role) that are right on these images of one category."""
    images = pd.DataFrame({"kind": kinds, "nuisance": nuisances, "category": "banana"})
    everything = np.ones(len(images), dtype=bool)
    marks = [Mark(*model, "closed-set", row, everything) for model, row in zip(models, correct, strict=True)]
    return score_rows(count_answers(images, marks, sets))
