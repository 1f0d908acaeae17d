"""Stage 3: the logits of every model over the pool, and its answers, which all later stages read instead of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imagenetd.config.schema import StageName
from imagenetd.images.pool import Pool, part_name
from imagenetd.models.interviewer import Interviewer
from imagenetd.records import StageResult
from imagenetd.scoring.predictions import (
    ANSWERS_FILE,
    about_answers,
    keep_answers,
    listed_parts,
    read_through,
    scoring_of,
    subject,
    unsound_parts,
)
from imagenetd.stages.executors.executor import carried_out, held
from imagenetd.stages.interviews import prepare_interviews, reread_answers
from imagenetd.stages.keys import CastModel
from imagenetd.stages.run import Run
from imagenetd.stages.workers.supervise import alone
from imagenetd.store.folders import StageFolder, make_folder
from imagenetd.store.system_errors import explained
from imagenetd.store.versions import library_versions

if TYPE_CHECKING:
    from imagenetd.stages.workers.predicting import PredictWork


def predict(run: Run) -> StageResult:
    """Run each model over the images that it has not seen; a model runs once per pool, whatever the sweep.

    For each model the folder gets `part-*.parquet` (logits) and, from one reading of them, `answers.parquet`. Where the
    stage only feeds later ones, these check the answers that they read: logits of finished models are not read through.
    """
    setup, pool, models = run.setup, run.all_images, run.setup.models
    is_asked = bool({StageName.predict, StageName.confirm} & set(setup.config.stages))
    lock = StageFolder(setup.folders[models[0].name].path.parent, "predict", pool.key, is_flat=True)
    with held(lock, setup.config):
        reread_answers(run)
        checked = {
            model.name: _unseen(setup.folders[model.name], pool, is_asked=is_asked) for model in models
        }
        pending = [model for model in models if checked[model.name].shards is not None]
        for are_asked in (False, True):  # questions depend on other models' predictions
            now = {
                model.name: shards
                for model in pending
                if (shards := checked[model.name].shards)
                and isinstance(model.classifier, Interviewer) == are_asked
            }
            if now:
                prepare_interviews(run, list(now))
                work = _work(run, now)
                if not carried_out(work, setup.config):
                    with alone(work) as (loop, _):
                        assert loop is not None, "models need torch"
                        loop.trainer.predict(loop.module, return_predictions=False)
        images = pool.readable()
        for model in pending:
            _finish(run, model, images)
        answered = [
            model.name for model in models if model not in pending and _answer_anew(run, model, images)
        ]
        records = {model.name: setup.folders[model.name].done() or {} for model in models}
    pool.require_readable()
    return StageResult(
        stage="predict",
        key=pool.key,
        folder=str(lock.path),
        num_items=pool.layout.num_images * len(models),
        unit="predictions",
        seconds=sum(record["seconds"] for record in records.values()),
        is_skipped=not pending and not answered,
        note=_note(checked, answered, records),
    )


@dataclass(frozen=True, slots=True)
class _Unseen:
    shards: frozenset[int] | None
    """Of the images that a model has not seen; None when it is done, empty when its record alone is missing."""
    remark: str = ""
    """What was wrong with stored parts."""


def _unseen(folder: StageFolder, pool: Pool, *, is_asked: bool) -> _Unseen:
    """Return what a model has not seen.

    Every part is read through: a damaged one, and one of another model or pool, is made anew.
    """
    record, remark = folder.sound() if is_asked else (folder.done(), "")
    if record is not None:
        return _Unseen(None)
    folder.reopen()
    found = unsound_parts(folder.path, pool.layout.num_shards, of=subject(folder.key, pool.key))
    bad = [part_name(shard) for shard, reason in found.items() if reason]
    if not bad:
        return _Unseen(frozenset(found), remark if remark.startswith(ANSWERS_FILE) else "")
    more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
    return _Unseen(frozenset(found), f"{bad[0]}{more} damaged or of another model or pool, so predicted anew")


def _note(
    checked: Mapping[str, _Unseen], answered: Sequence[str], records: Mapping[str, Mapping[str, Any]]
) -> str:
    """Return what was done for which model, and what is to be said of its predictions.

    Args:
        checked: Of every model.
        answered: Models whose answers alone were made.
        records: Model -> the record of its predictions now.
    """
    pending = [name for name, found in checked.items() if found.shards is not None]
    made = [name for name in pending if checked[name].shards or not checked[name].remark]
    parts = [f"{', '.join(made)} predicted now"] if made else []
    if answered:
        parts.append(f"answers read anew from the logits: {', '.join(answered)}")
    done = [name for name in records if name not in pending and name not in answered]
    if done and (pending or answered):
        parts.append(f"{', '.join(done)} already done")
    for remark in dict.fromkeys(found.remark for found in checked.values() if found.remark):
        named = [name for name, found in checked.items() if found.remark == remark]
        parts.append(f"{remark}: {', '.join(named)}")
    tied = [f"{record['num_tied']} {name}" for name, record in records.items() if record.get("num_tied")]
    if tied:
        parts.append(f"two best classes, the first counts: {', '.join(tied)}")
    return "; ".join(parts)


def _work(run: Run, unseen: Mapping[str, frozenset[int]]) -> "PredictWork":
    """Return the work of showing images to models; parts that are of no use are taken away first.

    Args:
        run: With the images.
        unseen: Name of a model -> the shards that it has not seen.
    """
    from imagenetd.stages.workers.opening import predict_work

    for name, shards in unseen.items():
        folder = run.setup.folders[name].path
        make_folder(folder)
        for shard in shards:
            with explained(folder):
                (folder / part_name(shard)).unlink(missing_ok=True)
    return predict_work(run, list(unseen))


def _finish(run: Run, model: CastModel, images: Pool) -> None:
    folder, precision = run.setup.folders[model.name], run.setup.config.trainer.precision
    found = read_through(folder.path, images, scoring_of(run.space(model), images), model_key=folder.key)
    provenance = found.loaded
    remarks = list(provenance.get("remarks", []))
    if found.num_tied:
        remarks.append(
            f"{model.name} gives its largest logit to several classes on {found.num_tied} of "
            f"{images.layout.num_images} images: the first of them counts."
        )
    half = {"precision": f"{precision} up to the last features, then float32"} if precision else {}
    record = {
        "num_images": images.layout.num_images,
        "num_tied": found.num_tied,
        "seconds": found.seconds,
        "identity": model.identity | half,
        "family": model.classifier.family,
        "training_data": list(model.classifier.training_data),
        "computed": found.computed,
        "remarks": remarks,
        "provenance": provenance,
        "versions": library_versions(),
    }
    keep_answers(folder, record, found, images)


def _answer_anew(run: Run, model: CastModel, images: Pool) -> bool:
    """Read the answers of finished predictions anew where they have none, or answers in another label space."""
    folder, scoring = run.setup.folders[model.name], scoring_of(run.space(model), images)
    record, listed = folder.done() or {}, listed_parts(folder.path, images)
    if record.get("answers") == about_answers(scoring, images, model_key=folder.key, seals=listed):
        return False
    found = read_through(folder.path, images, scoring, model_key=folder.key, listed=listed)
    keep_answers(folder, record, found, images)
    return True
