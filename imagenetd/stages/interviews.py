"""What models that are asked questions need before they run, and reading their stored answers anew."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from imagenetd.images.pool import Pool, part_name
from imagenetd.models.classifier import Classifier
from imagenetd.models.interviewer import Interviewer, answer_logits
from imagenetd.models.questions import rival_categories
from imagenetd.models.released_questions import released_rivals
from imagenetd.scoring.mining import accepted_classes
from imagenetd.scoring.predictions import read_part, subject
from imagenetd.store.folders import (
    STAGE_FILE,
    StageFolder,
    is_sealed,
    make_folder,
    read_stage_file,
    read_table,
    write_table_atomic,
)
from imagenetd.words.vocabulary import Category

Models = Mapping[str, tuple[Classifier, StageFolder]]


def prepare_interviews(now: Models, models: Models, pool: Pool, categories: Sequence[Category]) -> None:
    """Give every two-choice model the wrong option of each image, from its reference's logits or the released files.

    Args:
        now: Name -> classifier and folder of the models that run next.
        models: All models of the run; the references among them have predicted already.
        pool: The images.
        categories: Of the run.
    """
    for model, _ in now.values():
        if not isinstance(model, Interviewer) or not model.needs_rivals:
            continue
        if model.asking.questions is not None:
            model.rivals = released_rivals(model.asking.questions, pool.table)
        else:
            assert model.reference is not None
            model.rivals = _rivals(*models[model.reference], pool, categories)


def _rivals(
    reference: Classifier, folder: StageFolder, pool: Pool, categories: Sequence[Category]
) -> dict[str, str]:
    names = [category.name for category in categories]
    accepted = accepted_classes(reference.label_space(categories), names)
    category_of = dict(zip(pool.table["image_id"], pool.table["category"], strict=True))
    rivals: dict[str, str] = {}
    for shard in range(pool.layout.num_shards):
        table = read_table(folder.path / part_name(shard), of=subject(folder.key, pool.key))
        image_ids = table["image_id"].to_pylist()
        label = np.array([names.index(category_of[image_id]) for image_id in image_ids], dtype=np.int64)
        best = rival_categories(_logits(table), label, accepted)
        rivals |= {image_id: names[place] for image_id, place in zip(image_ids, best.tolist(), strict=True)}
    return rivals


def reread_answers(models: Models, pool: Pool, categories: Sequence[Category]) -> None:
    """Make the missing parts of models that were asked the same questions before from the answers of then.

    Another scoring or another list of aliases reads the same words: no model is run again.
    """
    for model, folder in models.values():
        if isinstance(model, Interviewer) and folder.done() is None:
            _reread_from_siblings(model, folder, pool, categories)


def _reread_from_siblings(
    model: Interviewer, folder: StageFolder, pool: Pool, categories: Sequence[Category]
) -> None:
    wanted = _without_scoring(model.identity(categories))
    for path in sorted(folder.path.parent.glob(f"*/{STAGE_FILE}")):
        identity = (read_stage_file(path) or {}).get("identity")
        if path.parent == folder.path or not is_sealed(path) or not isinstance(identity, dict):
            continue
        if _without_scoring(identity) != wanted:
            continue
        make_folder(folder.path)
        for shard in range(pool.layout.num_shards):
            if not (folder.path / part_name(shard)).is_file():
                _reread(model, path.parent, folder, shard=shard, pool=pool, categories=categories)
        return


def _reread(
    model: Interviewer,
    source: Path,
    target: StageFolder,
    *,
    shard: int,
    pool: Pool,
    categories: Sequence[Category],
) -> None:
    table = read_part(source, shard, pool)
    pairs = zip(table["answer"].to_pylist(), table["options"].to_pylist(), strict=True)
    outcomes = [model.read(text, options) for text, options in pairs]
    logits = answer_logits(outcomes, model.label_space(categories).class_names or ()).numpy()
    flat = pa.FixedSizeListArray.from_arrays(pa.array(logits.ravel(), pa.float32()), logits.shape[1])
    table = table.set_column(table.column_names.index("logits"), "logits", flat)
    table = table.set_column(table.column_names.index("outcome"), "outcome", pa.array(outcomes, pa.string()))
    write_table_atomic(target.path / part_name(shard), table, of=subject(target.key, pool.key))


def _without_scoring(identity: Mapping[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(json.dumps(identity))
    plain.pop("scoring", None)
    return plain


def _logits(table: pa.Table) -> np.ndarray:
    width = table["logits"].type.list_size
    return table["logits"].combine_chunks().flatten().to_numpy(zero_copy_only=False).reshape(-1, width)
