"""One set of images of a finished run, with all that is known of them, ready to be exported."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from imagenetd.records import Kind
from imagenetd.reports.evidence import ModelEvidence
from imagenetd.reports.exports.benchmark import COLUMNS, Benchmark, Provenance, file_name
from imagenetd.stages.run import Run
from imagenetd.stages.setup import CastModel
from imagenetd.stages.stored import read_scores
from imagenetd.store.versions import library_versions
from imagenetd.words.vocabulary import clean_nuisance

EMBEDDED = ("package:", "imagenetd.images.generators.render.RenderGenerator")


def make_benchmark(run: Run, set_name: str) -> Benchmark:
    """Return the images of a set, in the order of the pool."""
    images = _images(run)
    members = _members(run, set_name, images)
    positions = np.flatnonzero(members)
    lengths = run.pool.table["length"].to_numpy()[positions]
    return Benchmark(
        name=run.setup.config.name,
        set=set_name,
        images=images[members].reset_index(drop=True),
        models=tuple(_restricted(model, positions) for model in run.evidence().models),
        scores=read_scores(run.setup.folders["evaluate"].path),
        provenance=_provenance(run),
        num_bytes=int(lengths.sum()),
        read_bytes=lambda position: run.pool.read_bytes(int(positions[position])),
        best_two=lambda name: _best_two(run, name, positions),
    )


def _members(run: Run, set_name: str, images: pd.DataFrame) -> np.ndarray:
    sets = {**run.sets, "easy": images["is_easy"].to_numpy(), "not_mined": ~run.sets["mined"]}
    return sets.get(set_name, np.zeros(len(images), dtype=bool))


def _restricted(model: ModelEvidence, positions: np.ndarray) -> ModelEvidence:
    names = ("predicted", "correct", "confidence", "counted")
    return replace(model, **{name: getattr(model, name)[positions] for name in names})


def _images(run: Run) -> pd.DataFrame:
    """Return one row for each image of the pool, with the columns of an export."""
    table = run.pool.table
    mining = run.mining
    known = {category.name: category for category in run.setup.categories}
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
        is_accepted=run.sets["accepted"],
        is_easy=mining["is_easy"].to_numpy(),
    )
    return rows[list(COLUMNS)]


def _best_two(run: Run, name: str, positions: np.ndarray) -> tuple[list[str], list[str]]:
    """Return a model's best and second best category for some images, by its best accepted class of each."""
    (model,) = [model for model in run.setup.models if model.name == name]
    answers, shown = (
        run.answers(model),
        {category.name: category.display for category in run.setup.categories},
    )
    names = np.array([shown[name] for name in answers.scoring.categories])
    best, second = (names[answers.column(f"{rank}_category")[positions]] for rank in ("best", "second"))
    return best.tolist(), second.tolist()


def _provenance(run: Run) -> Provenance:
    config, spec = run.setup.config, run.setup.config.generator
    source = str(spec.get("model", "")) + spec["_target_"]
    qc: Mapping[str, Any] = {"method": config.qc.method.value}
    gates: list[CastModel] = run.setup.of_role("gate")
    if gates:
        qc = {**qc, "gate": gates[0].name, "min_confidence": config.qc.min_confidence}
    images = run.pool.table["kind"] != Kind.NEUTRAL
    easy = run.mining["is_easy"] & images.to_numpy()
    return Provenance(
        generator=run.setup.images.identity,
        embedded=source.startswith(EMBEDDED),
        min_failures=run.setup.min_failures,
        qc=qc,
        num_images=run.num_images() | {"easy": int(easy.sum())},
        keys={result.stage: result.key for result in run.results},
        versions=library_versions(),
        overrides=run.overrides,
    )
