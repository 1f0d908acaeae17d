"""Stage 3: the logits of every model over the pool."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from imagenetd.config.schema import TrainerConfig
from imagenetd.images.pool import Pool, part_name
from imagenetd.models.classifier import Classifier
from imagenetd.models.interviewer import Interviewer
from imagenetd.records import StageResult
from imagenetd.scoring.predictions import read_totals, subject, unsound_parts
from imagenetd.stages.interviews import prepare_interviews, reread_answers
from imagenetd.store.folders import StageFolder, carried_seal, make_folder, read_stage_file
from imagenetd.store.versions import library_versions
from imagenetd.words.vocabulary import Category


def predict_pool(
    pool: Pool,
    models: dict[str, tuple[Classifier, StageFolder]],
    categories: Sequence[Category],
    *,
    trainer: TrainerConfig,
) -> StageResult:
    """Run each model over the images that it has not seen; a model runs once per pool, whatever the sweep.

    Args:
        pool: The images.
        models: Name -> classifier and the folder of its predictions.
        categories: The classes of zero-shot models.
        trainer: Devices and threads.
    """
    lock = StageFolder(next(iter(models.values()))[1].path.parent, "predict", pool.key)
    with lock.locked():
        reread_answers(models, pool, categories)
        checked = {name: _unseen(folder, pool) for name, (_, folder) in models.items()}
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
        for name in pending:
            _finish(name, *models[name], pool, categories, precision=trainer.precision)
        records: dict[str, Any] = {name: folder.done() for name, (_, folder) in models.items()}
    note = f"{', '.join(pending)} predicted now" if pending else ""
    if pending and len(pending) < len(models):
        note += f"; {', '.join(name for name in models if name not in pending)} already done"
    for remark in dict.fromkeys(remark for _, remark in checked.values() if remark):
        note += f"; {remark}: {', '.join(name for name, (_, told) in checked.items() if told == remark)}"
    tied = {name: record["num_tied"] for name, record in records.items() if record.get("num_tied")}
    if tied:
        note += (
            f"; two best classes, the first counts: {', '.join(f'{n} {name}' for name, n in tied.items())}"
        )
    return StageResult(
        stage="predict",
        key=pool.key,
        folder=str(lock.path),
        num_items=pool.layout.num_images * len(models),
        unit="predictions",
        seconds=sum(record["seconds"] for record in records.values()),
        is_skipped=not pending,
        note=note.removeprefix("; "),
    )


def _unseen(folder: StageFolder, pool: Pool) -> tuple[frozenset[int] | None, str]:
    """Return the shards that a model has not seen, None when it is done; and what was wrong with stored parts.

    Every part is read through: a damaged one, and one of another model or pool, is made anew.
    """
    record, _ = folder.sound()
    if record is not None:
        return None, ""
    folder.reopen()
    found = unsound_parts(folder.path, pool.layout.num_shards, of=subject(folder.key, pool.key))
    bad = [part_name(shard) for shard, reason in found.items() if reason]
    if not bad:
        return frozenset(found), ""
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
    of = subject(folder.key, pool.key)
    parts = [part_name(shard) for shard in range(pool.layout.num_shards)]
    totals = read_totals(folder.path, pool.layout.num_shards, of=of)
    provenance = read_stage_file(folder.path / "provenance.json") or {}
    remarks = list(provenance.get("remarks", []))
    if totals.num_tied:
        remarks.append(
            f"{name} gives its largest logit to several classes on {totals.num_tied} of {pool.layout.num_images} "
            "images: the first of them counts."
        )
    half = {"precision": f"{precision} up to the last features, then float32"} if precision else {}
    folder.finish(
        {
            "num_images": pool.layout.num_images,
            "num_tied": totals.num_tied,
            "seconds": totals.seconds,
            "identity": classifier.identity(categories) | half,
            "label_space": asdict(space),
            "family": classifier.family,
            "training_data": list(classifier.training_data),
            "computed": provenance.get("computed"),
            "remarks": remarks,
            "provenance": provenance,
            "versions": library_versions(),
        },
        files=parts,
    )
