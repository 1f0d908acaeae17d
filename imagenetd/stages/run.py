"""One run in progress: the plan, what its stages have said, and the arrays that several stages need."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from imagenetd.errors import DataError
from imagenetd.images.adopt import left_out
from imagenetd.images.datasets.dataset import STOP, UNREADABLE
from imagenetd.images.image_set import ImageSet
from imagenetd.images.pool import Pool, read_layout, read_pool
from imagenetd.images.source import ListedImages
from imagenetd.models.relations import Origin, relation
from imagenetd.records import Kind, LabelSpace, StageResult
from imagenetd.reports.evidence import Evidence, Twins
from imagenetd.reports.trackers.run_report import FailureCard
from imagenetd.scoring.answer_table import Answers
from imagenetd.scoring.image_record import class_titles
from imagenetd.scoring.predictions import read_answers
from imagenetd.stages.confirm import require_twins
from imagenetd.stages.evaluate import ScoredImages
from imagenetd.stages.evidence import StoredModel, gather_evidence, other_models
from imagenetd.stages.keys import prediction_folder
from imagenetd.stages.mine import read_failures
from imagenetd.stages.planning import Plan, PlannedModel
from imagenetd.stages.qc import read_decisions
from imagenetd.stages.record import data_summary, judged, read_record

NUM_FAILURE_CARDS = 48
"""Mined images that are logged with prompt and predictions."""


@dataclass
class Job:
    """One run in progress."""

    plan: Plan
    plain_config: dict[str, Any]
    overrides: tuple[str, ...]
    results: list[StageResult] = field(default_factory=list)
    sync_line: str | None = None
    _cache: dict[str, Any] = field(default_factory=dict)

    def _cached(self, name: str, make: Callable[[], Any]) -> Any:
        if name not in self._cache:
            self._cache[name] = make()
        return self._cache[name]

    @property
    def all_images(self) -> Pool:
        """The finished pool, or the dataset in its place: what the models are shown."""
        return self._cached("all images", self.plan.images.open)

    @property
    def pool(self) -> Pool:
        """The images that have predictions: without those of a dataset that cannot be read."""
        images = self.all_images
        return self._cached("pool", images.readable) if isinstance(images, ImageSet) else images

    def require_readable(self) -> None:
        """Raise DataError for unreadable images of a dataset where the config stops at them, or where none is left."""
        images = self.all_images
        if not isinstance(images, ImageSet):
            return
        lost = left_out(images)
        lost = lost[lost["problem"] == UNREADABLE]
        if len(lost) and images.dataset.on_unreadable == STOP:
            first = lost.iloc[0]
            raise DataError(
                f"{len(lost)} images of data.root={images.dataset.root} cannot be read, e.g. {first.file}: "
                f"{first.reason}. Mend them, take them out, or go on without them with data.on_unreadable=list."
            )
        if not self.pool.layout.num_images:
            raise DataError(
                f"data.root={images.dataset.root} holds no readable image: {len(lost)} cannot be read, "
                f"e.g. {lost.iloc[0].file}: {lost.iloc[0].reason}."
            )

    def space(self, model: PlannedModel) -> LabelSpace:
        """Return what a model tells apart."""
        return self._cached(f"space {model.name}", lambda: model.classifier.label_space(self.plan.categories))

    def answers(self, model: PlannedModel) -> Answers:
        """Return a model's answers to the pool, read once."""
        folder, space = self.plan.folders[model.name].path, self.space(model)
        return self._cached(f"answers {model.name}", lambda: read_answers(folder, self.pool, space))

    def correct(self, models: Sequence[PlannedModel]) -> np.ndarray:
        """Return bool "models images"."""
        return np.stack([self.answers(model).correct for model in models])

    def counted(self, models: Sequence[PlannedModel]) -> np.ndarray:
        """Return bool "models images": false where a model's scoring leaves an image without an answer out."""
        return np.stack([self.answers(model).counted for model in models])

    def left_out(self) -> pd.DataFrame | None:
        """Return the files of a dataset that are not evaluated, with the reason; None for a pool of our own."""
        images = self.all_images
        return left_out(images) if isinstance(images, ImageSet) else None

    def data_facts(self) -> dict[str, Any]:
        """Return what `summary.json` says of a dataset; nothing for a pool of our own."""
        images = self.plan.images
        if not isinstance(images, ListedImages):
            return {}
        ignored = sorted(images.adopted.listing.ignored.items())
        return data_summary(self.left_out(), ignored, images.adopted.dataset.root)

    def findings(self) -> tuple[dict[str, pd.DataFrame], list[str]]:
        """Return the tables and numbers that a dataset itself defines, e.g. mCE, and remarks on the models."""
        images, remarks = self.plan.images, self.remarks()
        if not isinstance(images, ListedImages):
            return {}, remarks
        regimes = {model.name: self.space(model).regime for model in self.plan.of_role("target")}
        tables, found = images.adopted.dataset.findings(
            judged(read_record(self.plan.folders["evaluate"].path), regimes)
        )
        return tables, [*found, *remarks]

    def remarks(self) -> list[str]:
        """Return what is to be said of the models' predictions: classes that can never win, ties at the top."""
        records = (self.plan.folders[model.name].done() or {} for model in self.plan.models)
        return [remark for record in records for remark in record.get("remarks", [])]

    @property
    def mined(self) -> np.ndarray:
        """Bool "images": the shared failures."""
        return self._cached("mined", lambda: read_failures(self.plan.folders["mine"].path, self.pool))

    @property
    def twins(self) -> Pool | None:
        """The confirmation set, one image for each mined one in their order; None where there is none."""
        return self._cached("twins", self._open_twins)

    def _open_twins(self) -> Pool | None:
        folder = self.plan.folders["confirm"]
        record = (folder.done() or {}) if self.plan.confirms else {}
        if record.get("pool") is None:
            return None
        path = Path(self.plan.config.paths.output_dir) / "pools" / record["pool"]
        twins = read_pool(path, record["pool"], read_layout(path))
        require_twins(folder.path, self.pool.table[self.mined], twins)
        return twins

    def twin_answers(self, models: Sequence[PlannedModel]) -> tuple[np.ndarray, np.ndarray]:
        """Return bool "models twins" twice: right on the confirmation set, and counted there.

        Surrogates and targets have seen it, a gate has not. Twins that a safety checker flagged do not count.
        """
        twins, config = self.twins, self.plan.config
        size = 0 if twins is None else twins.layout.num_images
        correct, counted = np.zeros((2, len(models), size), dtype=bool)
        saw = [row for row, model in enumerate(models) if model.role in ("surrogate", "target")]
        if twins is not None:
            for row in saw:
                folder = prediction_folder(config, twins.key, models[row]).path
                answers = read_answers(folder, twins, self.space(models[row]))
                correct[row], counted[row] = answers.correct, answers.counted & ~twins.is_flagged
        return correct, counted

    def scored(self, models: Sequence[PlannedModel]) -> ScoredImages:
        """Return what the scores are counted from: the pool, and behind it the confirmation set if there is one."""
        correct, counted = self.correct(models), self.counted(models)
        if self.twins is None:
            return ScoredImages(self.pool.table, correct, counted, self.sets)
        on_twins, counted_twins = self.twin_answers(models)
        num_images, num_twins = correct.shape[1], on_twins.shape[1]
        sets = {
            name: np.append(members, np.zeros(num_twins, dtype=bool)) for name, members in self.sets.items()
        }
        sets["confirmation"] = np.arange(num_images + num_twins) >= num_images
        return ScoredImages(
            pd.concat([self.pool.table, self.twins.table], ignore_index=True),
            np.hstack([correct, on_twins]),
            np.hstack([counted, counted_twins]),
            sets,
        )

    @property
    def sets(self) -> dict[str, np.ndarray]:
        """Name of each set -> bool "images"."""
        return self._cached("sets", self._make_sets)

    def _make_sets(self) -> dict[str, np.ndarray]:
        everything = np.ones(self.pool.layout.num_images, dtype=bool)
        if not self.plan.mines:
            return {"pool": everything}
        if not self.plan.judges:
            return {"pool": everything, "mined": self.mined}
        decisions = read_decisions(self.plan.folders["qc"], self.pool)
        sets = {"pool": everything, "mined": self.mined, "accepted": decisions.is_accepted}
        if decisions.is_valid is not None:
            sets["pool_accepted"] = decisions.is_valid
        return sets

    def num_images(self) -> dict[str, int]:
        """Return the size of each set, without the control arm, and of the easy images."""
        is_nuisance = (self.pool.table["kind"] != Kind.NEUTRAL).to_numpy()
        counts = {name: int((members & is_nuisance).sum()) for name, members in self.sets.items()}
        return counts | {"easy": sum(result.counts.get("easy", 0) for result in self.results)}

    def relations(self) -> dict[str, str]:
        """Return what each model is to the surrogates of the run."""
        known = {m.name: Origin(m.classifier.family, m.classifier.training_data) for m in self.plan.models}
        surrogates = [known[model.name] for model in self.plan.of_role("surrogate")]
        return {m.name: relation(m.role, known[m.name], surrogates) for m in self.plan.models}

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
                self.plan.folders[m.name].path,
                self.space(m),
                m.classifier.training_data,
            )
            for m in self.plan.models
            if m.role != "oracle"
        ]
        if models == "all":
            categories = self.pool.table["category"].unique().tolist()
            stored += other_models(stored[0].folder.parent, categories, stored)
        sets, min_failures = self.sets, self.plan.min_failures
        found = gather_evidence(self.pool, stored, sets, min_failures=min_failures, baseline=baseline)
        return found if self.twins is None else replace(found, twins=self._twins_evidence())

    def _twins_evidence(self) -> Twins:
        models = self.plan.of_role("surrogate", "target")
        names = [model.name for model in models]
        correct, counted = (dict(zip(names, rows, strict=True)) for rows in self.twin_answers(models))
        return Twins(np.flatnonzero(self.mined), correct, counted)

    def cards(self) -> list[FailureCard]:
        """Return some of the accepted failures, spread evenly over the pool; in an evaluation, of the target's."""
        if self.plan.mines:
            indices = np.flatnonzero(self.sets.get("accepted", self.sets["mined"]))
        else:
            indices = np.flatnonzero(~self.correct(self.plan.of_role("target")).all(axis=0))
        if len(indices) > NUM_FAILURE_CARDS:
            indices = indices[np.linspace(0, len(indices) - 1, NUM_FAILURE_CARDS).astype(int)]
        shown = self.plan.of_role("surrogate", "target")
        titles = {model.name: class_titles(self.space(model)) for model in shown}
        named = {model.name: self.answers(model).predicted[indices].tolist() for model in shown}
        table = self.pool.table
        return [
            FailureCard(
                image_id=table["image_id"].iloc[index],
                image=self.pool.read_image(index),
                prompt=table["text"].iloc[index],
                category=table["category"].iloc[index],
                kind=table["kind"].iloc[index],
                nuisance=table["nuisance"].iloc[index],
                predictions={name: titles[name][classes[number]] for name, classes in named.items()},
            )
            for number, index in enumerate(indices.tolist())
        ]
