"""One run in progress: its setup, folders and keys, and what its stages have left behind."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from imagenetd.images.pool import Pool, twin_prompts
from imagenetd.models.relations import Origin, relation
from imagenetd.records import Kind, LabelSpace, Score, StageResult
from imagenetd.reports.evidence import Evidence, Twins
from imagenetd.scoring.answer_table import Answers
from imagenetd.scoring.counts import Mark, count_answers, score_rows
from imagenetd.scoring.predictions import read_answers
from imagenetd.stages.gathering import StoredModel, gather_evidence, other_models, read_baseline
from imagenetd.stages.setup import CastModel, Setup
from imagenetd.stages.stored import read_counts, read_decisions, read_mining, require_twins
from imagenetd.store import remote

SCORED_ROLES = ("surrogate", "target", "gate")
"""Roles of the models that stand in tables."""


@dataclass(frozen=True)
class TwinAnswers:
    """Which models are right on the confirmation set."""

    correct: np.ndarray
    """Bool "models twins"."""
    counted: np.ndarray
    """Bool "models twins": false where a model has not seen a twin, its scoring leaves it out, or it was flagged."""


@dataclass
class Run:
    """One run in progress; what a stage has left behind is read when it is first asked for."""

    setup: Setup
    plain_config: dict[str, Any] = field(default_factory=dict)
    """The config as plain values, for the record."""
    overrides: tuple[str, ...] = ()
    """The command, without `python run.py`."""
    is_of_twins: bool = False
    """Its images are the confirmation set of another run of the same config."""
    results: list[StageResult] = field(default_factory=list)
    """Of the stages until now."""
    _answers: dict[str, Answers] = field(default_factory=dict)

    @functools.cached_property
    def all_images(self) -> Pool:
        """The finished pool, or the dataset in its place: what the models are shown."""
        return self.setup.images.open()

    @functools.cached_property
    def pool(self) -> Pool:
        """The images that have predictions: without those that cannot be read."""
        return self.all_images.readable()

    @functools.cached_property
    def spaces(self) -> dict[str, LabelSpace]:
        """Name of each model -> what it tells apart."""
        return {m.name: m.classifier.label_space(self.setup.categories) for m in self.setup.models}

    def space(self, model: CastModel) -> LabelSpace:
        """Return what a model tells apart."""
        return self.spaces[model.name]

    def answers(self, model: CastModel) -> Answers:
        """Return a model's answers to the pool, read once."""
        if model.name not in self._answers:
            folder = self.setup.folders[model.name].path
            self._answers[model.name] = read_answers(folder, self.pool, self.space(model))
        return self._answers[model.name]

    def correct(self, models: Sequence[CastModel]) -> np.ndarray:
        """Return bool "models images"."""
        return np.stack([self.answers(model).correct for model in models])

    def wrong(self, models: Sequence[CastModel]) -> np.ndarray:
        """Return bool "models images"; an image that does not count for a model is neither right nor wrong."""
        return np.stack([self.answers(model).wrong for model in models])

    @functools.cached_property
    def mining(self) -> pd.DataFrame:
        """The outcome of mining: one row for each image with the columns of Failure."""
        return read_mining(self.setup.folders["mine"].path, self.pool)

    @functools.cached_property
    def mined(self) -> np.ndarray:
        """Bool "images": the shared failures."""
        return self.mining["is_shared"].to_numpy()

    @functools.cached_property
    def unmined(self) -> np.ndarray:
        """Bool "images": with a nuisance, not hard, not flagged: people may be asked about them."""
        is_nuisance = (self.pool.table["kind"] != Kind.NEUTRAL).to_numpy()
        return is_nuisance & ~self.mined & ~self.pool.is_flagged

    @functools.cached_property
    def twin_run(self) -> "Run | None":
        """The run that draws another image of every mined prompt and shows it to surrogates and targets.

        Its pool has one image for each mined one, in their order; None when nothing was mined.
        """
        mined = self.pool.table[self.mined]
        if mined.empty:
            return None
        rows = twin_prompts(mined, num_images_per_cell=self.setup.config.num_images_per_cell)
        return Run(self.setup.of_prompts(rows, self.setup.of_role("surrogate", "target")), is_of_twins=True)

    @functools.cached_property
    def twins(self) -> "Run | None":
        """That run when it is finished; None where there is no confirmation set."""
        folder = self.setup.folders["confirm"]
        if not self.setup.confirms or (folder.done() or {}).get("pool") is None:
            return None
        assert self.twin_run is not None, "confirm has drawn what was mined"
        require_twins(folder.path, self.pool.table[self.mined], self.twin_run.pool)
        return self.twin_run

    def answers_to_twins(self, models: Sequence[CastModel]) -> TwinAnswers:
        """Return what is right and what counts on the confirmation set, which a gate has not seen."""
        size = 0 if self.twins is None else len(self.twins.pool.table)
        correct, counted = np.zeros((2, len(models), size), dtype=bool)
        saw = [row for row, model in enumerate(models) if model.role in ("surrogate", "target")]
        if self.twins is not None and saw:
            shown = [models[row] for row in saw]
            correct[saw] = self.twins.correct(shown)
            counted[saw] = [
                self.twins.answers(model).counted for model in shown
            ] & ~self.twins.pool.is_flagged
        return TwinAnswers(correct, counted)

    @functools.cached_property
    def sets(self) -> dict[str, np.ndarray]:
        """Name of each set -> bool "images"."""
        sets = {"pool": np.ones(self.pool.layout.num_images, dtype=bool)}
        if not self.setup.mines:
            return sets
        sets["mined"] = self.mined
        if not self.setup.judges:
            return sets
        decisions = read_decisions(self.setup.folders["qc"], self.pool)
        sets["accepted"] = decisions.is_accepted
        if decisions.is_valid is not None:
            sets["pool_accepted"] = decisions.is_valid
        return sets

    def sizes(self) -> list[Score]:
        """Return the size of every slice of each set, for whatever model its images count, in the order of scores."""
        images = self.pool.table
        everything = np.ones(len(images), dtype=bool)
        return score_rows(count_answers(images, [Mark("", "", "", everything, everything)], self.sets))

    def num_images(self) -> dict[str, int]:
        """Return the size of each set, without the control arm, and of the easy images."""
        is_nuisance = (self.pool.table["kind"] != Kind.NEUTRAL).to_numpy()
        counts = {name: int((members & is_nuisance).sum()) for name, members in self.sets.items()}
        return counts | {"easy": sum(result.counts.get("easy", 0) for result in self.results)}

    def relations(self) -> dict[str, str]:
        """Return what each model is to the surrogates of the run."""
        known = {m.name: Origin(m.classifier.family, m.classifier.training_data) for m in self.setup.models}
        surrogates = [known[model.name] for model in self.setup.of_role("surrogate")]
        return {m.name: relation(m.role, known[m.name], surrogates) for m in self.setup.models}

    def evidence(self, *, models: str = "run", baseline: Path | None = None) -> Evidence:
        """Return what the reports are computed from.

        Args:
            models: `run`: the models of this run. `all`: also every other one with predictions of this pool.
            baseline: Run folder of the same models on real photographs.
        """
        stored = [
            StoredModel(
                m.name,
                m.role,
                m.classifier.family,
                self.setup.folders[m.name].path,
                self.space(m),
                m.classifier.training_data,
            )
            for m in self.setup.models
            if m.role != "oracle"
        ]
        if models == "all":
            remote.pull(stored[0].folder.parent)
            categories = self.pool.table["category"].unique().tolist()
            stored += other_models(stored[0].folder.parent, categories, stored)
        sets, min_failures = self.sets, self.setup.min_failures
        found = gather_evidence(
            self.pool,
            stored,
            sets,
            min_failures=min_failures,
            evaluated=read_counts(self.setup.folders["evaluate"].path),
        )
        if baseline is not None:
            found = replace(found, baseline=read_baseline(baseline))
        if self.twins is None:
            return found
        saw = self.setup.of_role("surrogate", "target")
        answers, names = self.answers_to_twins(saw), [model.name for model in saw]
        correct, counted = (
            dict(zip(names, rows, strict=True)) for rows in (answers.correct, answers.counted)
        )
        return replace(found, twins=Twins(np.flatnonzero(self.mined), correct, counted))
