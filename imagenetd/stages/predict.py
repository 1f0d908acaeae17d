"""Stage 3: the logits of every model over the pool, and its answers, which all later stages read instead of them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from imagenetd.config.schema import TrainerConfig
from imagenetd.images.image_set import ImageSet
from imagenetd.images.pool import Pool, part_name
from imagenetd.models.classifier import Classifier
from imagenetd.models.interviewer import Interviewer
from imagenetd.records import StageResult
from imagenetd.scoring.predictions import (
    ANSWERS_FILE,
    ReadThrough,
    about_answers,
    listed_parts,
    read_through,
    scoring_of,
    subject,
    unsound_parts,
)
from imagenetd.stages.interviews import prepare_interviews, reread_answers
from imagenetd.store.folders import (
    StageFolder,
    carried_seal,
    make_folder,
    read_stage_file,
    write_table_atomic,
)
from imagenetd.store.versions import library_versions
from imagenetd.words.vocabulary import Category


def predict_pool(
    pool: Pool,
    models: dict[str, tuple[Classifier, StageFolder]],
    categories: Sequence[Category],
    *,
    trainer: TrainerConfig,
    is_asked: bool = True,
) -> StageResult:
    """Run each model over the images that it has not seen; a model runs once per pool, whatever the sweep.

    For each model the folder gets `part-*.parquet` (logits) and, from one reading of them, `answers.parquet`.

    Args:
        pool: The images.
        models: Name -> classifier and the folder of its predictions.
        categories: The classes of zero-shot models.
        trainer: Devices and threads.
        is_asked: False where the stage only feeds later ones: these read the answers and check them, so that the
            logits of finished models are not read through.
    """
    lock = StageFolder(next(iter(models.values()))[1].path.parent, "predict", pool.key)
    with lock.locked():
        reread_answers(models, pool, categories)
        checked = {name: _unseen(folder, pool, is_asked=is_asked) for name, (_, folder) in models.items()}
        unseen = {name: shards for name, (shards, _) in checked.items()}
        pending = [name for name, shards in unseen.items() if shards is not None]
        for are_asked in (False, True):  # questions depend on other models' predictions
            now = {
                name: models[name]
                for name in pending
                if unseen[name] and isinstance(models[name][0], Interviewer) == are_asked
            }
            if now:
                prepare_interviews(now, models, pool, categories)
                _run(pool, now, unseen, categories, trainer)
        images = pool.readable() if isinstance(pool, ImageSet) else pool
        for name in pending:
            _finish(name, *models[name], images, categories, precision=trainer.precision)
        done = [name for name in models if name not in pending]
        answered = [name for name in done if _answer_anew(*models[name], images, categories)]
        records: dict[str, Any] = {name: folder.done() for name, (_, folder) in models.items()}
    return StageResult(
        stage="predict",
        key=pool.key,
        folder=str(lock.path),
        num_items=pool.layout.num_images * len(models),
        unit="predictions",
        seconds=sum(record["seconds"] for record in records.values()),
        is_skipped=not pending and not answered,
        note=_note(pending, answered, checked, records),
    )


def _note(
    pending: Sequence[str],
    answered: Sequence[str],
    checked: Mapping[str, tuple[frozenset[int] | None, str]],
    records: Mapping[str, Mapping[str, Any]],
) -> str:
    """Return what was done for which model, and what is to be said of its predictions.

    Args:
        pending: Models that were not done.
        answered: Models whose answers alone were made.
        checked: Model -> from `_unseen`.
        records: Model -> the record of its predictions now.
    """
    made = [name for name in pending if checked[name][0] or not checked[name][1]]
    parts = [f"{', '.join(made)} predicted now"] if made else []
    if answered:
        parts.append(f"answers read anew from the logits: {', '.join(answered)}")
    done = [name for name in records if name not in pending and name not in answered]
    if done and (pending or answered):
        parts.append(f"{', '.join(done)} already done")
    for remark in dict.fromkeys(remark for _, remark in checked.values() if remark):
        parts.append(f"{remark}: {', '.join(name for name, (_, told) in checked.items() if told == remark)}")
    tied = [f"{record['num_tied']} {name}" for name, record in records.items() if record.get("num_tied")]
    if tied:
        parts.append(f"two best classes, the first counts: {', '.join(tied)}")
    return "; ".join(parts)


def _unseen(folder: StageFolder, pool: Pool, *, is_asked: bool) -> tuple[frozenset[int] | None, str]:
    """Return the shards that a model has not seen, None when it is done; and what was wrong with stored parts.

    Every part is read through: a damaged one, and one of another model or pool, is made anew.
    """
    record, remark = folder.sound() if is_asked else (folder.done(), "")
    if record is not None:
        return None, ""
    folder.reopen()
    found = unsound_parts(folder.path, pool.layout.num_shards, of=subject(folder.key, pool.key))
    bad = [part_name(shard) for shard, reason in found.items() if reason]
    if not bad:
        return frozenset(found), remark if remark.startswith(ANSWERS_FILE) else ""
    if not any(carried_seal(folder.path / name) for name in bad):
        return frozenset(found), "made before checksums, so predicted anew"
    more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
    return frozenset(found), f"{bad[0]}{more} damaged or of another model or pool, so predicted anew"


def _run(
    pool: Pool,
    models: dict[str, tuple[Classifier, StageFolder]],
    unseen: dict[str, frozenset[int] | None],
    categories: Sequence[Category],
    trainer: TrainerConfig,
) -> None:
    from imagenetd.stages.workers.predicting import PendingModel, PredictModule
    from imagenetd.stages.workers.prediction import run_prediction

    pending = []
    for name, (classifier, folder) in models.items():
        make_folder(folder.path)
        classifier.cache_dir = folder.path.parents[1] / "heads"
        pending.append(PendingModel(name, classifier, folder.path, unseen[name] or frozenset(), folder.key))
    shards = frozenset[int]().union(*(model.shards for model in pending))
    num_items = sum(len(pool.layout.images(shard)) for shard in shards)
    module = PredictModule(
        pool,
        pending,
        categories,
        channels_last=trainer.channels_last,
        compiles=trainer.compile,
        num_workers=trainer.num_workers,
    )
    run_prediction(
        module,
        trainer,
        stage="predict",
        tasks=sorted(shards),
        num_items=num_items,
        folder=next(iter(models.values()))[1].path.parent,
        precision=trainer.precision,
    )


def _finish(
    name: str,
    classifier: Classifier,
    folder: StageFolder,
    pool: Pool,
    categories: Sequence[Category],
    *,
    precision: str | None,
) -> None:
    space = classifier.label_space(categories)
    found = read_through(folder.path, pool, scoring_of(space, pool), model_key=folder.key)
    provenance = read_stage_file(folder.path / "provenance.json") or {}
    remarks = list(provenance.get("remarks", []))
    if found.num_tied:
        remarks.append(
            f"{name} gives its largest logit to several classes on {found.num_tied} of {pool.layout.num_images} "
            "images: the first of them counts."
        )
    half = {"precision": f"{precision} up to the last features, then float32"} if precision else {}
    record = {
        "num_images": pool.layout.num_images,
        "num_tied": found.num_tied,
        "seconds": found.seconds,
        "identity": classifier.identity(categories) | half,
        "family": classifier.family,
        "training_data": list(classifier.training_data),
        "computed": provenance.get("computed"),
        "remarks": remarks,
        "provenance": provenance,
        "versions": library_versions(),
    }
    keep_answers(folder, record, found, pool)


def _answer_anew(
    classifier: Classifier, folder: StageFolder, pool: Pool, categories: Sequence[Category]
) -> bool:
    """Read the answers of finished predictions anew where they have none, or answers in another label space."""
    record, scoring = folder.done() or {}, scoring_of(classifier.label_space(categories), pool)
    listed = listed_parts(folder.path, pool)
    if record.get("answers") == about_answers(scoring, pool, model_key=folder.key, seals=listed):
        return False
    found = read_through(folder.path, pool, scoring, model_key=folder.key, listed=listed)
    keep_answers(folder, record, found, pool)
    return True


def keep_answers(folder: StageFolder, record: Mapping[str, Any], found: ReadThrough, pool: Pool) -> None:
    """Write `answers.parquet` beside the logits that it was read from, and mark the predictions as done."""
    scoring = found.answers.scoring
    of = about_answers(scoring, pool, model_key=folder.key, seals=found.seals)
    write_table_atomic(folder.path / ANSWERS_FILE, found.answers.table, of=of)
    told = {**record, "label_space": asdict(scoring.space), "answers": of}
    folder.finish(told, [ANSWERS_FILE], sealed=found.seals)
