"""Gathers what the reports are computed from: stored predictions of one pool, and a baseline on real photographs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from imagenetd.errors import ConfigError, DamagedError, StoreError
from imagenetd.images.pool import Pool
from imagenetd.records import LabelSpace
from imagenetd.reports.evidence import Evidence, ModelEvidence
from imagenetd.reports.wording import INDEX
from imagenetd.scoring.image_record import class_titles
from imagenetd.scoring.predictions import read_answers
from imagenetd.store.csv_files import from_csv_frame
from imagenetd.store.folders import STAGE_FILE, file_seal, read_stage_file
from imagenetd.words.imagenet import category_title

COLUMNS = ("image_id", "category", "kind", "nuisance", "seed_index", "text")
BASELINE_COLUMNS = ["model", "regime", "num_classes", "category", "num_images", "num_correct"]
BASELINE_TABLE = Path("tables") / "accuracy" / "per_category.csv"
UNDECLARED = "undeclared"


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A model with predictions of the pool."""

    name: str
    role: str
    family: str
    folder: Path
    space: LabelSpace
    training_data: tuple[str, ...] = ()


def gather_evidence(
    pool: Pool,
    models: Sequence[StoredModel],
    sets: Mapping[str, np.ndarray],
    *,
    min_failures: int,
    evaluated: pd.DataFrame | None = None,
) -> Evidence:
    """Read the answers of all models; `evaluated` are the counts of those that the stage `evaluate` knows."""
    return Evidence(
        images=_titled(pool.table[[name for name in (*COLUMNS, INDEX) if name in pool.table]]),
        models=tuple(_model(model, pool) for model in models),
        sets=dict(sets),
        min_failures=min_failures,
        read_image=pool.read_image,
        evaluated=None if evaluated is None else _titled(evaluated),
    )


def _titled(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose categories have the names that people give them: `tench`, not `n01440764`."""
    keys = table["category"].unique().tolist()
    titles = {key: category_title(key) for key in keys if category_title(key) != key}
    if not titles:
        return table
    if isinstance(table["category"].dtype, pd.CategoricalDtype):
        return table.assign(category=table["category"].cat.rename_categories(titles))
    return table.assign(category=table["category"].replace(titles))


def _model(model: StoredModel, pool: Pool) -> ModelEvidence:
    space = model.space
    answers = read_answers(model.folder, pool, space)
    return ModelEvidence(
        name=model.name,
        role=model.role,
        family=model.family,
        regime=space.regime,
        chance=space.chance,
        class_names=class_titles(space),
        predicted=answers.predicted,
        correct=answers.correct,
        confidence=answers.confidence,
        counted=answers.counted,
        training_data=model.training_data,
    )


def other_models(folder: Path, categories: Sequence[str], known: Sequence[StoredModel]) -> list[StoredModel]:
    """Return the models beside those of the run whose predictions of the pool are complete, as targets.

    Args:
        folder: `predictions/<pool>`.
        categories: Of the pool; a model that does not know all of them is left out.
        known: Models of the run.
    """
    taken, names = {model.folder.name for model in known}, {model.name for model in known}
    found = []
    for path in sorted(folder.glob(f"*/{STAGE_FILE}")):
        record = read_stage_file(path) or {}
        name = path.parent.name.rpartition("-")[0]
        if path.parent.name in taken or "label_space" not in record or record.get("family") == "judge":
            continue  # a judge is the truth of studies, never a target
        space = _space(path, record["label_space"])
        if set(categories) <= set(space.accepted):
            unique = name if name not in names else path.parent.name
            names.add(unique)
            family, data = record.get("family", UNDECLARED), tuple(record.get("training_data", ()))
            found.append(StoredModel(unique, "target", family, path.parent, space, data))
    return found


def _space(path: Path, record: object) -> LabelSpace:
    try:
        return _label_space(dict(record))  # type: ignore[call-overload]
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(
            f"{path} has no usable label_space ({error}): it is of another version. Delete {path.parent} and run its "
            "model again."
        ) from error


def _label_space(record: Mapping[str, object]) -> LabelSpace:
    fields = dict(record)
    fields["accepted"] = {name: tuple(ids) for name, ids in dict(fields["accepted"]).items()}  # type: ignore[call-overload]
    names = fields.get("class_names")
    fields["class_names"] = None if names is None else tuple(names)  # type: ignore[arg-type]
    fields["outcomes"] = tuple(fields.get("outcomes", ()))  # type: ignore[arg-type]
    return LabelSpace(**fields)  # type: ignore[arg-type]


def read_baseline(run_dir: Path) -> pd.DataFrame:
    """Return the per-category counts that the report `accuracy` of another run wrote, of its whole pool."""
    path = run_dir / BASELINE_TABLE
    if not path.is_file():
        raise ConfigError(
            f"report.baseline={run_dir} holds no {BASELINE_TABLE}. Name the folder of a finished run with "
            "report=standard."
        )
    seal = (read_stage_file(run_dir / STAGE_FILE) or {}).get("baseline")
    if seal is not None and file_seal(path) != seal:
        raise DamagedError(
            f"{path} is not as its run wrote it. Run the baseline again: its tables are made anew."
        )
    try:
        table = from_csv_frame(pd.read_csv(path))
    except (ValueError, OSError) as error:
        raise StoreError(f"{path} cannot be read ({error}). Run the baseline again.") from error
    if lacking := {*BASELINE_COLUMNS, "set"} - set(table):
        raise StoreError(f"{path} lacks the columns {', '.join(sorted(lacking))}. Run the baseline again.")
    return _titled(table.loc[table["set"] == "pool", BASELINE_COLUMNS].reset_index(drop=True))
