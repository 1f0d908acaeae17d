"""The ordered list of stages: each is run, skipped, or refused because an earlier one is missing."""

import logging
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from imagenetd.config import Config, QcMethod, StageName, build
from imagenetd.console import console, say
from imagenetd.correctness import correct_matrix, labels, predicted_names
from imagenetd.errors import ConfigError
from imagenetd.mining import accepted_classes
from imagenetd.plan import Plan, PlannedModel, make_plan
from imagenetd.pool import Pool, read_pool, read_prompts
from imagenetd.qc.gate import gate_ballot
from imagenetd.qc.votes import Ballot
from imagenetd.predictions import read_logits
from imagenetd.records import Kind, LabelSpace, StageResult
from imagenetd.reports.run_report import FailureCard
from imagenetd.stages.evaluate import evaluate_models, read_scores
from imagenetd.stages.generate import generate_pool, read_layout
from imagenetd.stages.mine import mine_failures, read_failures
from imagenetd.stages.predict import predict_pool
from imagenetd.stages.prompts import write_prompts
from imagenetd.stages.qc import control_quality, read_decisions
from imagenetd.stages.report import RunFacts, write_report
from imagenetd.store import content_key

NUM_FAILURE_CARDS = 48
"""Mined images that are logged to W&B with prompt and predictions."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    status: str
    """`done`, or `waiting for votes`."""
    folder: Path
    """Of the last stage that ran; the run folder when the report did."""
    results: tuple[StageResult, ...]


@dataclass
class Run:
    """One run in progress: the plan and what the stages have said so far."""

    plan: Plan
    plain_config: dict[str, Any]
    overrides: tuple[str, ...]
    results: list[StageResult] = field(default_factory=list)
    sync_line: str | None = None
    _cache: dict[str, Any] = field(default_factory=dict)

    def cached(self, name: str, make: Callable[[], Any]) -> Any:
        """Return a value that several stages need, made at its first use."""
        if name not in self._cache:
            self._cache[name] = make()
        return self._cache[name]

    @property
    def pool(self) -> Pool:
        """The finished pool."""
        folder = self.plan.folders["generate"]
        return self.cached("pool", lambda: read_pool(folder.path, folder.key, read_layout(folder.path)))

    def space(self, model: PlannedModel) -> LabelSpace:
        """Return what a model tells apart."""
        return self.cached(f"space {model.name}", lambda: model.classifier.label_space(self.plan.categories))

    def correct(self, models: Sequence[PlannedModel]) -> np.ndarray:
        """Return bool "models images"."""
        return correct_matrix(self.pool, [(self.plan.folders[m.name], self.space(m)) for m in models])

    @property
    def mined(self) -> np.ndarray:
        """Bool "images": the shared failures."""
        return self.cached("mined", lambda: read_failures(self.plan.folders["mine"].path, self.pool))


def run_pipeline(config: Config, *, plain_config: dict[str, Any], overrides: Sequence[str] = ()) -> Outcome:
    """Run the stages that the config names, in their order.

    Raises:
        UserError: For a mistake that the user can mend.
    """
    warnings.filterwarnings("ignore", category=FutureWarning)
    run = Run(make_plan(config), plain_config, tuple(overrides))
    for stage in StageName:
        if stage not in config.stages:
            if _is_needed(run, stage):
                run.results.append(STAGES[stage](run))
            continue
        result = STAGES[stage](run)
        run.results.append(result)
        say(closing_line(result))
        if result.counts.get("waiting"):
            return Outcome("waiting for votes", Path(result.folder), tuple(run.results))
    if run.sync_line:
        say(run.sync_line)
    return Outcome("done", Path(run.results[-1].folder), tuple(run.results))


def closing_line(result: StageResult) -> str:
    """Return the line that ends a stage: what it made, how fast, and where."""
    made = f"{result.stage:<9} {result.num_items:,} {result.unit}"
    if result.is_skipped:
        speed = f"already done in {result.seconds:.1f} s (key {result.key[:8]})"
    else:
        per_second = f" ({result.num_items / result.seconds:,.1f}/s)" if result.seconds > 0 and result.num_items else ""
        speed = f"in {result.seconds:.1f} s{per_second}"
    note = f"; {result.note}" if result.note else ""
    return f"{made} {speed} -> {result.folder}{note}"


def _is_needed(run: Run, stage: StageName) -> bool:
    """Tell whether a stage that is not asked for feeds a later one; refuse to go on when it is not done."""
    later = list(StageName)[list(StageName).index(stage) + 1 :]
    needed = [name for name in later if name in run.plan.config.stages]
    if not needed:
        return False
    if stage is StageName.predict:
        folders = [run.plan.folders[model.name] for model in run.plan.models]
    else:
        folders = [run.plan.folders[stage.value]]
    if any(folder.done() is None for folder in folders):
        raise ConfigError(
            f"stages has {needed[0].value} without {stage.value}, whose results are not in {folders[0].path}. "
            f"Add {stage.value} to stages."
        )
    return True


def _waiting(path: Path) -> None:
    say(f"waiting: another run works in {path}", style="yellow")


def _prompts(run: Run) -> StageResult:
    return write_prompts(run.plan.folders["prompts"], run.plan.rows, waiting=_waiting)


def _generate(run: Run) -> StageResult:
    config = run.plan.config
    return generate_pool(
        run.plan.folders["generate"],
        read_prompts(run.plan.folders["prompts"].path / "prompts.parquet"),
        run.plan.generator,
        generator_identity=run.plan.generator_identity,
        store=config.store,
        trainer=config.trainer,
        waiting=_waiting,
    )


def _predict(run: Run) -> StageResult:
    models = {model.name: (model.classifier, run.plan.folders[model.name]) for model in run.plan.models}
    trainer = run.plan.config.trainer
    return predict_pool(run.pool, models, run.plan.categories, trainer=trainer, waiting=_waiting)


def _mine(run: Run) -> StageResult:
    surrogates = run.plan.of_role("surrogate")
    return mine_failures(
        run.plan.folders["mine"],
        run.pool,
        lambda: run.correct(surrogates),
        [model.name for model in surrogates],
        min_failures=run.plan.min_failures,
        waiting=_waiting,
    )


def _qc(run: Run) -> StageResult:
    method = run.plan.config.qc.method
    return control_quality(
        run.plan.folders["qc"],
        run.pool,
        run.mined,
        lambda: _ballot(run),
        judges_pool=method is QcMethod.auto,
        waiting=_waiting,
    )


def _ballot(run: Run) -> Ballot | None:
    if run.plan.config.qc.method is QcMethod.none:
        return None
    (gate,) = run.plan.of_role("gate")
    categories, label = labels(run.pool)
    return gate_ballot(
        read_logits(run.plan.folders[gate.name].path, run.pool),
        accepted_classes(run.space(gate), categories),
        label,
        image_ids=run.pool.table["image_id"].tolist(),
        gate=gate.name,
        min_confidence=run.plan.config.qc.min_confidence,
    )


def _sets(run: Run) -> dict[str, np.ndarray]:
    decisions = read_decisions(run.plan.folders["qc"], run.pool)
    everything = np.ones(run.pool.layout.num_images, dtype=bool)
    sets = {"pool": everything, "mined": run.mined, "accepted": decisions.is_accepted}
    if decisions.is_valid is not None:
        sets["pool_accepted"] = decisions.is_valid
    return sets


def _evaluate(run: Run) -> StageResult:
    return evaluate_models(
        run.plan.folders["evaluate"],
        run.pool,
        lambda: run.correct(run.plan.models),
        models=[(model.name, model.role) for model in run.plan.models],
        sets=_sets(run),
        waiting=_waiting,
    )


def _report(run: Run) -> StageResult:
    plan, sets = run.plan, _sets(run)
    is_nuisance = (run.pool.table["kind"] != Kind.NEUTRAL).to_numpy()
    num_images = {name: int((members & is_nuisance).sum()) for name, members in sets.items()}
    easy = next((result.counts["easy"] for result in run.results if result.stage == "mine"), None)
    facts = RunFacts(
        name=plan.config.name,
        status="done",
        num_images=num_images | ({"easy": easy} if easy is not None else {}),
        models={model.name: (model.role, run.space(model)) for model in plan.models},
        min_failures=plan.min_failures,
        seed=plan.config.seed,
        stages=tuple(run.results),
        generator_key=content_key(plan.generator_identity),
        config=run.plain_config,
        overrides=run.overrides,
    )
    result, run.sync_line = write_report(
        plan.folders["report"],
        facts,
        read_scores(plan.folders["evaluate"].path),
        tables=build(plan.config.report, option="report"),
        logger=build(plan.config.logger, option="logger"),
        cards=lambda: _cards(run, sets["accepted"]),
        show=console().print,
        waiting=_waiting,
    )
    return result


def _cards(run: Run, chosen: np.ndarray) -> list[FailureCard]:
    """Return the first accepted failures, spread evenly over the pool."""
    indices = np.flatnonzero(chosen)
    if len(indices) > NUM_FAILURE_CARDS:
        indices = indices[np.linspace(0, len(indices) - 1, NUM_FAILURE_CARDS).astype(int)]
    answers = {
        model.name: predicted_names(run.pool, run.plan.folders[model.name], run.space(model))
        for model in run.plan.of_role("surrogate", "target")
    }
    table = run.pool.table
    return [
        FailureCard(
            image_id=table["image_id"].iloc[index],
            image=run.pool.read_image(index),
            prompt=table["text"].iloc[index],
            category=table["category"].iloc[index],
            kind=table["kind"].iloc[index],
            nuisance=table["nuisance"].iloc[index],
            predictions={name: classes[index] for name, classes in answers.items()},
        )
        for index in indices.tolist()
    ]


STAGES: dict[StageName, Callable[[Run], StageResult]] = {
    StageName.prompts: _prompts,
    StageName.generate: _generate,
    StageName.predict: _predict,
    StageName.mine: _mine,
    StageName.qc: _qc,
    StageName.evaluate: _evaluate,
    StageName.report: _report,
}
"""One entry for each stage; the order is that of StageName."""

logging.getLogger("imagenetd").addHandler(logging.NullHandler())
