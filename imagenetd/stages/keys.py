"""The keys of the stages: each is the hash of what changes its result and of the keys of its inputs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from imagenetd.config.schema import Config
from imagenetd.models.classifier import Classifier
from imagenetd.models.interviewer import COMPAT, Interviewer
from imagenetd.records import Identity
from imagenetd.stages.choices import confirms, judges_images
from imagenetd.stages.qc_keys import (
    PresentVotes,
    calibration_folders,
    plan_identity,
    present_votes,
    qc_identity,
)
from imagenetd.store.folders import StageFolder, content_key

RECORD_VERSION = 3
"""Of what the stage evaluate writes: 2 has regimes and the record of every image, 3 the counts that all of it shows."""

LEFT_OUT_VERSION = 2
"""Of mining with surrogates whose scoring leaves images out: 2 counts these as neither right nor wrong."""


@dataclass(frozen=True)
class CastModel:
    """A classifier and the part it plays."""

    name: str
    role: str
    """`surrogate`, `target`, `gate`, or `oracle`: the truth of simulated workers, in no table."""
    option: str
    """Where it stands in the config, e.g. `surrogates.clip_rn50`."""
    classifier: Classifier
    identity: Identity


@dataclass(frozen=True)
class Keyed:
    """The folders of the stages that work with models, and the votes that their keys rest on."""

    folders: dict[str, StageFolder]
    votes: PresentVotes | None
    calibration: tuple[Path, ...]


def prediction_folder(config: Config, pool: str, model: CastModel) -> StageFolder:
    """Return the folder of one model's predictions of a pool.

    Args:
        config: Its precision changes logits.
        pool: Key of the pool.
        model: Named in the folder, for people.
    """
    half = config.trainer.precision  # 2: the last features, head and logits are computed in float32
    precision = {"precision": [half, 2]} if half not in (None, "32", "32-true") else {}
    key = content_key({"stage": "predict", "pool": pool, "model": model.identity, **precision})
    folder = f"{model.name.replace('/', '_')}-{key[:8]}"
    path = config.paths.folder() / "predictions" / pool / folder
    return StageFolder(path, f"predict {model.name}", key)


def model_folders(config: Config, pool: str, models: Sequence[CastModel], min_failures: int) -> Keyed:
    """Chain the keys: each is the hash of what changes the stage's result and of the keys of its inputs."""
    root = config.paths.folder()
    folders = {model.name: prediction_folder(config, pool, model) for model in models}
    predictions = {name: folder.key for name, folder in folders.items()}
    by_role = {
        role: [predictions[m.name] for m in models if m.role == role]
        for role in ("surrogate", "target", "gate", "oracle")
    }
    mine = content_key(
        {
            **{"stage": "mine", "surrogates": sorted(by_role["surrogate"]), "min_failures": min_failures},
            **_left_out(models),
        }
    )
    gate = by_role["gate"]
    votes = present_votes(config.qc, root, mine=mine, gate=gate, oracle=by_role["oracle"])
    calibration = calibration_folders(config.qc, root, pool=pool)
    qc = content_key(qc_identity(config.qc, votes, mine=mine, gate=gate, calibration=calibration))
    saw_twins = sorted(by_role["surrogate"] + by_role["target"])
    confirm = content_key({"stage": "confirm", "mine": mine, "pool": pool, "models": saw_twins})
    chosen = qc if min_failures and judges_images(config) else mine if min_failures else None
    evaluate = content_key(
        {
            "stage": "evaluate",
            "qc": chosen,
            "models": {m.name: predictions[m.name] for m in models if m.role != "oracle"},
            "record": RECORD_VERSION,
            **({"confirm": confirm} if confirms(config, min_failures) else {}),
        }
    )
    report = content_key(
        {"stage": "report", "evaluate": evaluate, "report": config.report, "name": config.name}
    )
    plan = content_key(plan_identity(config, surrogates=by_role["surrogate"], gate=gate))
    folders |= {
        "plan": StageFolder(root / "plans" / plan, "plan", plan),
        "mine": StageFolder(root / "mined" / mine, "mine", mine),
        "confirm": StageFolder(root / "confirmed" / confirm, "confirm", confirm),
        "qc": StageFolder(root / "qc" / qc, "qc", qc),
        "evaluate": StageFolder(root / "scores" / evaluate, "evaluate", evaluate),
    }
    run_dir = Path(config.paths.run_dir) if config.paths.run_dir else root / f"{config.name}-{report[:8]}"
    folders["report"] = StageFolder(run_dir, "report", report)
    return Keyed(folders, votes, calibration)


def _left_out(models: Sequence[CastModel]) -> Identity:
    surrogates = [model.classifier for model in models if model.role == "surrogate"]
    leaves_out = any(isinstance(one, Interviewer) and one.asking.scoring == COMPAT for one in surrogates)
    return {"left_out": LEFT_OUT_VERSION} if leaves_out else {}
