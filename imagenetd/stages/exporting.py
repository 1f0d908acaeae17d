"""From a finished job to its exports: which images, with what is known of each, into which folders."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from imagenetd.records import Kind, StageResult
from imagenetd.reports.evidence import ModelEvidence
from imagenetd.reports.exports.benchmark import COLUMNS, Benchmark, Provenance, file_name
from imagenetd.reports.exports.export import Export, build_exports
from imagenetd.stages.evaluate import read_scores
from imagenetd.stages.export import write_exports
from imagenetd.stages.mine import read_mining
from imagenetd.stages.planning import Plan, PlannedModel
from imagenetd.stages.run import Job
from imagenetd.store.folders import StageFolder, content_key
from imagenetd.store.versions import library_versions
from imagenetd.words.vocabulary import clean_nuisance

EMBEDDED = ("package:", "imagenetd.images.generators.render.RenderGenerator")
FORMAT_VERSION = 1
"""Part of the key of every export: written another way, it is written again."""


def export_job(job: Job, *, say: Callable[[str], None]) -> StageResult:
    """Write every format that the config names."""
    plan = job.plan
    exports = {
        name: (export, _folder(plan, name, export))
        for name, export in build_exports(plan.config.export).items()
    }
    key = content_key({"stage": "export", "formats": {name: f.key for name, (_, f) in exports.items()}})
    made: dict[str, Benchmark] = {}

    def benchmark(set_name: str) -> Benchmark:
        if set_name not in made:
            made[set_name] = make_benchmark(job, set_name)
        return made[set_name]

    return write_exports(exports, benchmark, run_folder=plan.folders["report"].path, key=key, say=say)


def _folder(plan: Plan, name: str, export: Export) -> StageFolder:
    spec = {option: value for option, value in plan.config.export[name].items() if option != "to"}
    identity = {
        "stage": f"export {name}",
        "evaluate": plan.folders["evaluate"].key,
        "name": plan.config.name,
        "spec": spec,
        "version": FORMAT_VERSION,
    }
    key = content_key(identity)
    home = plan.folders["report"].path / "exports" / f"{name}-{key[:8]}"
    return StageFolder(Path(export.to) if export.to else home, f"export.{name}", key)


def make_benchmark(job: Job, set_name: str) -> Benchmark:
    """Return the images of a set, in the order of the pool."""
    images = _images(job)
    members = _members(job, set_name, images)
    positions = np.flatnonzero(members)
    lengths = job.pool.table["length"].to_numpy()[positions]
    return Benchmark(
        name=job.plan.config.name,
        set=set_name,
        images=images[members].reset_index(drop=True),
        models=tuple(_restricted(model, positions) for model in job.evidence().models),
        scores=read_scores(job.plan.folders["evaluate"].path),
        provenance=_provenance(job),
        num_bytes=int(lengths.sum()),
        read_bytes=lambda position: job.pool.read_bytes(int(positions[position])),
        best_two=lambda name: _best_two(job, name, positions),
    )


def _members(job: Job, set_name: str, images: pd.DataFrame) -> np.ndarray:
    sets = {**job.sets, "easy": images["is_easy"].to_numpy(), "not_mined": ~job.sets["mined"]}
    return sets.get(set_name, np.zeros(len(images), dtype=bool))


def _restricted(model: ModelEvidence, positions: np.ndarray) -> ModelEvidence:
    names = ("predicted", "correct", "confidence")
    return replace(model, **{name: getattr(model, name)[positions] for name in names})


def _images(job: Job) -> pd.DataFrame:
    """Return one row for each image of the pool, with the columns of an export."""
    table = job.pool.table
    mining = read_mining(job.plan.folders["mine"].path, job.pool)
    known = {category.name: category for category in job.plan.categories}
    words = {
        (kind, nuisance): clean_nuisance(kind, nuisance)
        for kind, nuisance in table[["kind", "nuisance"]].drop_duplicates().itertuples(index=False)
    }
    rows = table.assign(
        file=[
            file_name(*row)
            for row in table[["kind", "category", "image_id"]].itertuples(index=False, name=None)
        ],
        category_name=[known[name].display for name in table["category"]],
        imagenet_ids=[" ".join(map(str, known[name].imagenet_ids)) for name in table["category"]],
        nuisance_name=[words[key] for key in zip(table["kind"], table["nuisance"], strict=True)],
        prompt=table["text"],
        noise_seed=table["noise_seed"].astype(str),
        num_failures=mining["num_failures"].to_numpy(),
        is_mined=mining["is_shared"].to_numpy(),
        is_accepted=job.sets["accepted"],
        is_easy=mining["is_easy"].to_numpy(),
    )
    return rows[list(COLUMNS)]


def _best_two(job: Job, name: str, positions: np.ndarray) -> tuple[list[str], list[str]]:
    """Return a model's best and second best category for some images, by its best accepted class of each."""
    (model,) = [model for model in job.plan.models if model.name == name]
    answers, shown = job.answers(model), {category.name: category.display for category in job.plan.categories}
    names = np.array([shown[name] for name in answers.scoring.categories])
    best, second = (names[answers.column(f"{rank}_category")[positions]] for rank in ("best", "second"))
    return best.tolist(), second.tolist()


def _provenance(job: Job) -> Provenance:
    config, spec = job.plan.config, job.plan.config.generator
    source = str(spec.get("model", "")) + spec["_target_"]
    qc: Mapping[str, Any] = {"method": config.qc.method.value}
    gates: list[PlannedModel] = job.plan.of_role("gate")
    if gates:
        qc = {**qc, "gate": gates[0].name, "min_confidence": config.qc.min_confidence}
    images = job.pool.table["kind"] != Kind.NEUTRAL
    easy = read_mining(job.plan.folders["mine"].path, job.pool)["is_easy"] & images.to_numpy()
    return Provenance(
        generator=job.plan.generator_identity,
        embedded=source.startswith(EMBEDDED),
        min_failures=job.plan.min_failures,
        qc=qc,
        num_images=job.num_images() | {"easy": int(easy.sum())},
        keys={result.stage: result.key for result in job.results},
        versions=library_versions(),
        overrides=job.overrides,
    )
