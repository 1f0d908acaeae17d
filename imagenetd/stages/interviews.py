"""What models that are asked questions need before they run, and reading their stored answers anew."""

import json
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from imagenetd.images.pool import part_name
from imagenetd.models.interviewer import Interviewer, answer_logits
from imagenetd.models.questions import rival_categories
from imagenetd.models.released_questions import released_rivals
from imagenetd.records import Identity, LabelSpace
from imagenetd.scoring.mining import accepted_classes
from imagenetd.scoring.predictions import logits_of, read_part, subject
from imagenetd.stages.keys import CastModel
from imagenetd.stages.run import Run
from imagenetd.store import remote
from imagenetd.store.folders import (
    STAGE_FILE,
    make_folder,
    read_stage_file,
    read_table,
    write_table_atomic,
)


def prepare_interviews(run: Run, names: Collection[str]) -> None:
    """Give every two-choice model the wrong option of each image, from its reference's logits or the released files.

    Args:
        run: The references among its models have predicted already.
        names: Of the models that run next.
    """
    for cast in run.setup.models:
        model = cast.classifier
        if cast.name not in names or not isinstance(model, Interviewer) or not model.needs_rivals:
            continue
        if model.asking.questions is not None:
            model.rivals = released_rivals(model.asking.questions, run.all_images.table)
        else:
            (reference,) = [other for other in run.setup.models if other.name == model.reference]
            model.rivals = _rivals(run, reference)


def _rivals(run: Run, reference: CastModel) -> dict[str, str]:
    pool, names = run.all_images, [category.name for category in run.setup.categories]
    folder, accepted = run.setup.folders[reference.name], accepted_classes(run.space(reference), names)
    category_of = dict(zip(pool.table["image_id"], pool.table["category"], strict=True))
    rivals: dict[str, str] = {}
    for shard in range(pool.layout.num_shards):
        table = read_table(folder.path / part_name(shard), of=subject(folder.key, pool.key))
        image_ids = table["image_id"].to_pylist()
        label = np.array([names.index(category_of[image_id]) for image_id in image_ids], dtype=np.int64)
        best = rival_categories(logits_of(table), label, accepted)
        rivals |= {image_id: names[place] for image_id, place in zip(image_ids, best.tolist(), strict=True)}
    return rivals


def reread_answers(run: Run) -> None:
    """Make the missing parts of models that were asked the same questions before from the answers of then.

    Another scoring or another list of aliases reads the same words: no model is run again.
    """
    for model in run.setup.models:
        if isinstance(model.classifier, Interviewer) and run.setup.folders[model.name].done() is None:
            _reread_from_siblings(run, model.classifier, model)


def _reread_from_siblings(run: Run, interviewer: Interviewer, model: CastModel) -> None:
    folder, space = run.setup.folders[model.name], run.space(model)
    wanted = _without_scoring(model.identity)
    remote.pull(folder.path.parent)
    for path in sorted(folder.path.parent.glob(f"*/{STAGE_FILE}")):
        identity = (read_stage_file(path) or {}).get("identity")
        if path.parent == folder.path or not isinstance(identity, dict):
            continue
        if _without_scoring(identity) != wanted:
            continue
        make_folder(folder.path)
        for shard in range(run.all_images.layout.num_shards):
            part = folder.path / part_name(shard)
            if not part.is_file():
                table = _reread(interviewer, read_part(path.parent, shard, run.all_images), space)
                write_table_atomic(part, table, of=subject(folder.key, run.all_images.key))
        return


def _reread(model: Interviewer, table: pa.Table, space: LabelSpace) -> pa.Table:
    """Return a part with the outcomes and logits that a model's scoring reads from the stored words."""
    pairs = zip(table["answer"].to_pylist(), table["options"].to_pylist(), strict=True)
    outcomes = [model.read(text, options) for text, options in pairs]
    logits = answer_logits(outcomes, space.class_names or ()).numpy()
    flat = pa.FixedSizeListArray.from_arrays(pa.array(logits.ravel(), pa.float32()), logits.shape[1])
    table = table.set_column(table.column_names.index("logits"), "logits", flat)
    return table.set_column(table.column_names.index("outcome"), "outcome", pa.array(outcomes, pa.string()))


def _without_scoring(identity: Mapping[str, Any]) -> Identity:
    plain: Identity = json.loads(json.dumps(identity))
    plain.pop("scoring", None)
    return plain
