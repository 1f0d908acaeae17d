"""What a run leaves in an experiment tracker besides numbers: confusions, curves, and artifacts with their lineage."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from imagenetd.images.pool import MANIFEST_FILE
from imagenetd.qc.votes import DECISIONS_FILE, VOTES_FILE
from imagenetd.records import Kind, StageResult
from imagenetd.reports.evidence import Evidence, ModelEvidence
from imagenetd.reports.trackers.run_report import Artifact, Confusion, Curve
from imagenetd.scoring.statistics.intervals import THESE_CATEGORIES, THESE_IMAGES
from imagenetd.store.folders import STAGE_FILE

SMALL = {
    "generate": ("pool", (MANIFEST_FILE, "layout.json", STAGE_FILE)),
    "data": ("pool", (MANIFEST_FILE, STAGE_FILE)),
    "qc": ("benchmark", (DECISIONS_FILE, VOTES_FILE, STAGE_FILE)),
}
"""Stage -> type of its artifact, and its files that are small whatever the size of the pool."""
LARGE = {"generate": "shards/*.tar"}
"""Stage -> its files that grow with the pool."""
LEVELS = ("none", "small", "all")


def confusions(evidence: Evidence) -> tuple[Confusion, ...]:
    """Return what each target says of the categories, on hard images where there are some, else on the pool."""
    name = next((n for n in ("accepted", "mined") if n in evidence.sets and evidence.sets[n].any()), "pool")
    members = evidence.sets[name] & (evidence.images["kind"] != Kind.NEUTRAL).to_numpy()
    return tuple(_confusion(model, evidence, name, members) for model in evidence.of_role("target"))


def _confusion(model: ModelEvidence, evidence: Evidence, name: str, members: np.ndarray) -> Confusion:
    members = members & model.counted
    actual = evidence.images["category"].to_numpy()[members].tolist()
    answers = [model.class_names[index] for index in model.predicted[members].tolist()]
    # A right answer may have another class name (one category has several ImageNet classes).
    right = model.correct[members].tolist()
    seen = [truth if ok else answer for truth, answer, ok in zip(actual, answers, right, strict=True)]
    classes = tuple(sorted({*actual, *seen}))
    place = {word: index for index, word in enumerate(classes)}
    return Confusion(
        f"confusion/{model.name}",
        f"{model.name} on {int(members.sum()):,} {name} images (counts of {THESE_IMAGES})",
        classes,
        tuple(place[word] for word in actual),
        tuple(place[word] for word in seen),
    )


def curves(evidence: Evidence) -> tuple[Curve, ...]:
    """Return the accuracy of each target on the images that at least k surrogates get wrong, and how many these are.

    Beside each line run the ends of its Wilson interval. The control arm is not counted; of all other images those
    that passed quality control, where the whole pool was judged.
    """
    surrogates, targets = evidence.of_role("surrogate"), evidence.of_role("target")
    if not surrogates or not targets:
        return ()
    inside = evidence.sets[evidence.judged] & (evidence.images["kind"] != Kind.NEUTRAL).to_numpy()
    failing = evidence.num_failing[inside]
    steps = [k for k in range(len(surrogates) + 1) if (failing >= k).any()]
    images = np.array([(failing >= k).sum() for k in steps])
    found, lines = evidence.by_failures(), dict[str, tuple[float, ...]]()
    for model in targets:
        rows = found[(found["model"] == model.name) & found["set"].astype(int).isin(steps)]
        ends = {"accuracy": "", "wilson_low": ", 95% low", "wilson_high": ", 95% high"}
        lines |= {f"{model.name}{what}": tuple(rows[end].tolist()) for end, what in ends.items()}
    share = {f"share of all {int(inside.sum()):,} images": tuple((images / inside.sum()).tolist())}
    xs = tuple(float(k) for k in steps)
    return (
        Curve(
            "curves/k_of_n",
            f"accuracy where at least k surrogates fail, for {THESE_CATEGORIES}",
            "surrogates that fail, at least",
            xs,
            lines | share,
        ),
    )


def artifacts(
    stages: Iterable[StageResult], models: Sequence[str], run_dir: Path, *, level: str
) -> tuple[Artifact, ...]:
    """Return the artifacts of a run: its pool, the predictions of each model, and the benchmark.

    Args:
        stages: Of the run, with their folders and keys.
        models: Names of all models.
        run_dir: Holds summary and tables, which go with the benchmark.
        level: `none`, `small` (manifests, decisions, scores) or `all` (also images and logits).
    """
    if level == "none":
        return ()
    found: list[Artifact] = []
    keys = {stage.stage: stage.key for stage in stages}
    for stage in stages:
        folder = Path(stage.folder)
        if stage.stage == "predict":
            found += _predictions(folder, models, is_all=level == "all")
        elif stage.stage in SMALL:
            kind, names = SMALL[stage.stage]
            files = {name: folder / name for name in names}
            if level == "all" and stage.stage in LARGE:
                files |= _below(folder, LARGE[stage.stage])
            if kind == "benchmark":
                files |= _below(run_dir, "tables/**/*.csv") | {"summary.json": run_dir / "summary.json"}
            found.append(_artifact(kind, stage.key, files, keys))
    return tuple(found)


def _predictions(folder: Path, models: Sequence[str], *, is_all: bool) -> list[Artifact]:
    made = []
    for path in sorted(folder.glob("*/stage.json")):
        name = path.parent.name.rpartition("-")[0]
        if name in models:
            files = {"stage.json": path} | (_below(path.parent, "*.parquet") if is_all else {})
            made.append(_artifact(f"predictions-{name}", path.parent.name[-8:], files, {"pool": folder.name}))
    return made


def _artifact(kind: str, key: str, files: Mapping[str, Path], lineage: Mapping[str, str]) -> Artifact:
    here = {name: path for name, path in files.items() if path.is_file()}
    return Artifact(f"{kind}-{key[:8]}", kind.partition("-")[0], here, dict(lineage))


def _below(folder: Path, pattern: str) -> dict[str, Path]:
    return {path.relative_to(folder).as_posix(): path for path in sorted(folder.glob(pattern))}
