"""The ordered list of stages: each is run, skipped, or refused because an earlier one is missing."""

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from imagenetd.config.schema import Config, StageName, build
from imagenetd.errors import ConfigError
from imagenetd.images.pool import read_prompts
from imagenetd.records import StageResult
from imagenetd.reports.coverage import with_coverage
from imagenetd.reports.report import build_reports
from imagenetd.stages.confirming import confirm_failures
from imagenetd.stages.evaluate import evaluate_models, read_scores
from imagenetd.stages.exporting import export_job
from imagenetd.stages.facts import RunFacts
from imagenetd.stages.generate import generate_pool
from imagenetd.stages.mine import mine_failures
from imagenetd.stages.planning import make_plan
from imagenetd.stages.predict import predict_pool
from imagenetd.stages.prompts import estimate_cost, write_prompts
from imagenetd.stages.qc import read_qc_summary
from imagenetd.stages.qc_ways import plan_costs, run_quality_control
from imagenetd.stages.record import write_record
from imagenetd.stages.report import write_report
from imagenetd.stages.run import Job
from imagenetd.store.console import console, say
from imagenetd.store.folders import content_key

SCORED_ROLES = ("surrogate", "target", "gate")
"""Roles of the models that stand in tables."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    status: str
    """`done`, or `waiting for votes`."""
    folder: Path
    """Of the last stage that ran; the run folder when the report did."""
    results: tuple[StageResult, ...]


def run_pipeline(config: Config, *, plain_config: dict[str, Any], overrides: Sequence[str] = ()) -> Outcome:
    """Run the stages that the config names, in their order.

    Raises:
        UserError: For a mistake that the user can mend.
    """
    job = Job(make_plan(config), plain_config, tuple(overrides))
    for stage in _stages(job):
        if not _is_asked(job, stage):
            if _is_needed(job, stage):
                job.results.append(STAGES[stage](job))
            continue
        started = time.perf_counter()
        with _shown(stage):
            result = STAGES[stage](job)
        job.results.append(result)
        for line in (closing_line(result, clock_s=time.perf_counter() - started), *result.details):
            say(line)
        if result.counts.get("waiting"):
            return Outcome("waiting for votes", Path(result.folder), tuple(job.results))
    if job.sync_line:
        say(job.sync_line)
    return Outcome("done", Path(job.results[-1].folder), tuple(job.results))


def _stages(job: Job) -> list[StageName]:
    """Return the stages that this plan has; a dataset needs no prompts, and takes the place of the pool."""
    return [stage for stage in StageName if job.plan.images.is_drawn or stage is not StageName.prompts]


def _is_asked(job: Job, stage: StageName) -> bool:
    """Tell whether a stage is to be done; a dataset is listed in any case, and `mining.confirm` goes with mine."""
    plan = job.plan
    if stage is StageName.generate and not plan.images.is_drawn:
        return True
    asked = set(plan.config.stages)
    return stage in asked or (stage is StageName.confirm and plan.confirms and StageName.mine in asked)


def _shown(stage: StageName) -> contextlib.AbstractContextManager[Any]:
    """Show that a stage is at work; the two long ones have a bar of their own, and only one can be shown at a time."""
    if stage in (StageName.generate, StageName.predict, StageName.confirm, StageName.report):
        return contextlib.nullcontext()
    return console().status(stage.value)


def closing_line(result: StageResult, *, clock_s: float = 0.0) -> str:
    """Return the line that ends a stage: what it made, how fast, and where.

    Args:
        result: Its `seconds` are those of the work, summed over processes and restarts.
        clock_s: How long the user has waited.
    """
    if result.is_skipped:
        speed = f"already done (key {result.key[:8]}; took {result.seconds:.1f} s)"
    elif result.seconds > 0 and result.num_items:
        speed = f"in {clock_s:.1f} s ({result.num_items / result.seconds:,.1f}/s at work)"
    else:
        speed = f"in {clock_s:.1f} s"
    note = f"; {result.note}" if result.note else ""
    return f"{result.stage:<9} {result.num_items:,} {result.unit} {speed} -> {result.folder}{note}"


def _is_needed(job: Job, stage: StageName) -> bool:
    """Tell whether a stage that is not asked for feeds a later one; refuse to go on when it is not done."""
    later = list(StageName)[list(StageName).index(stage) + 1 :]
    needed = [name for name in later if name in job.plan.config.stages]
    is_left_out = {
        StageName.mine: not job.plan.mines,
        StageName.confirm: not job.plan.confirms or set(needed) <= {StageName.qc},
        StageName.qc: not job.plan.judges,
    }
    if (
        not needed or stage in (StageName.plan, StageName.report) or is_left_out.get(stage)
    ):  # no stage reads what the plan and the report wrote
        return False
    if stage is StageName.predict:
        folders = [job.plan.folders[model.name] for model in job.plan.models]
    else:
        folders = [job.plan.folders[stage.value]]
    if any(folder.done() is None for folder in folders):
        raise ConfigError(
            f"stages has {needed[0].value} without {stage.value}, whose results are not in {folders[0].path}. "
            f"Add {stage.value} to stages."
        )
    return True


def _prompts(job: Job) -> StageResult:
    assert job.plan.rows is not None
    result = write_prompts(job.plan.folders["prompts"], job.plan.rows)
    if job.plan.generator is None or job.plan.config.stages != [StageName.prompts]:
        return result
    return replace(result, details=estimate_cost(result, job.plan.generator, job.plan.config))


def _generate(job: Job) -> StageResult:
    config = job.plan.config
    listed = job.plan.images.listed()
    if listed is not None:
        return listed
    assert job.plan.generator is not None
    return generate_pool(
        job.plan.images.folder,
        read_prompts(job.plan.folders["prompts"].path / "prompts.parquet"),
        job.plan.generator,
        generator_identity=job.plan.generator_identity,
        store=config.store,
        trainer=config.trainer,
    )


def _predict(job: Job) -> StageResult:
    models = {model.name: (model.classifier, job.plan.folders[model.name]) for model in job.plan.models}
    config = job.plan.config
    result = predict_pool(
        job.all_images,
        models,
        job.plan.categories,
        trainer=config.trainer,
        is_asked=StageName.predict in config.stages,
    )
    job.require_readable()
    return result


def _plan(job: Job) -> StageResult:
    return plan_costs(job, show=console().print)


def _mine(job: Job) -> StageResult:
    surrogates = job.plan.of_role("surrogate")
    return mine_failures(
        job.plan.folders["mine"],
        job.pool,
        lambda: job.correct(surrogates),
        [model.name for model in surrogates],
        min_failures=job.plan.min_failures,
    )


def _confirm(job: Job) -> StageResult:
    return confirm_failures(job)


def _qc(job: Job) -> StageResult:
    return run_quality_control(job)


def _evaluate(job: Job) -> StageResult:
    models = job.plan.of_role(*SCORED_ROLES)
    return evaluate_models(
        job.plan.folders["evaluate"],
        lambda: job.scored(models),
        models=[(model.name, model.role) for model in models],
        record=lambda folder: write_record(
            folder, job.pool.table, ((model.name, model.role, job.answers(model)) for model in models)
        ),
    )


def _report(job: Job) -> StageResult:
    plan = job.plan
    facts = RunFacts(
        name=plan.config.name,
        status="done",
        num_images=job.num_images(),
        models={model.name: (model.role, job.space(model)) for model in plan.of_role(*SCORED_ROLES)},
        min_failures=plan.min_failures,
        seed=plan.config.seed,
        stages=tuple(job.results),
        generator_key=content_key(plan.generator_identity),
        config=job.plain_config,
        overrides=job.overrides,
        evaluate=plan.folders["evaluate"].path,
        left_out=job.left_out(),
        data=job.data_facts(),
        findings=job.findings,
        relations=job.relations(),
        qc=read_qc_summary(plan.folders["qc"]),
    )
    chosen = with_coverage(build_reports(plan.config.report), [job.space(model) for model in plan.models])
    result, job.sync_line = write_report(
        plan.folders["report"],
        facts,
        read_scores(plan.folders["evaluate"].path),
        chosen=chosen,
        evidence=lambda: job.evidence(models=chosen.models, baseline=chosen.baseline),
        logger=build(plan.config.logger, option="logger"),
        cards=job.cards,
        picture=lambda position: job.pool.read_image(position),
        show=console().print,
    )
    return result


def _export(job: Job) -> StageResult:
    return export_job(job, say=say)


STAGES: dict[StageName, Callable[[Job], StageResult]] = {
    StageName.prompts: _prompts,
    StageName.generate: _generate,
    StageName.predict: _predict,
    StageName.plan: _plan,
    StageName.mine: _mine,
    StageName.confirm: _confirm,
    StageName.qc: _qc,
    StageName.evaluate: _evaluate,
    StageName.report: _report,
    StageName.export: _export,
}
"""One entry for each stage; the order is that of StageName."""
