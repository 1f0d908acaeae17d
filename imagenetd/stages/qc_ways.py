"""The stage of quality control: which way it goes, and which votes its key rests on."""

import dataclasses
from collections.abc import Callable
from typing import Any

from imagenetd.config.qc import PEOPLE, QcMethod
from imagenetd.errors import ConfigError
from imagenetd.qc.odds import odds_lines
from imagenetd.qc.planning import PlanRow, plan_rows, sentinel_plan
from imagenetd.qc.votes import Ballot
from imagenetd.qc.ways import to_do
from imagenetd.records import Kind, StageResult
from imagenetd.reports.plan_table import plan_table
from imagenetd.reports.qc_lines import qc_lines
from imagenetd.scoring.mining import num_failures
from imagenetd.stages.plan import write_plan
from imagenetd.stages.qc import control_quality, read_qc_summary
from imagenetd.stages.qc_gate import auto_ballot
from imagenetd.stages.qc_people import gate_confidence, people_ballot, valid_shares
from imagenetd.stages.run import Job


def run_quality_control(job: Job) -> StageResult:
    """Run the stage in the configured way; with people, on the votes that have come in until now."""
    method = job.plan.config.qc.method
    if method in PEOPLE:
        job.plan = job.plan.with_present_votes()
    folder = job.plan.folders["qc"]
    result = control_quality(
        folder,
        job.pool,
        job.mined,
        lambda: cast_ballot(job),
        lambda accepted: valid_shares(job, accepted),
        judges_pool=method is QcMethod.auto,
        facts={"method": method.value, "pool": job.plan.images.key},
    )
    if result.counts.get("waiting") and job.plan.votes is not None:
        line = f"          to do: {to_do(method, job.plan.votes.folder)}"
        return dataclasses.replace(result, folder=str(job.plan.votes.folder), details=(line,))
    return dataclasses.replace(result, details=tuple(qc_lines(read_qc_summary(folder))))


def cast_ballot(job: Job) -> Ballot | None:
    """Return the votes of the chosen way of quality control; None when there is none."""
    method = job.plan.config.qc.method
    if method is QcMethod.none:
        return None
    return auto_ballot(job) if method is QcMethod.auto else people_ballot(job)


def plan_costs(job: Job, *, show: Callable[[Any], None]) -> StageResult:
    """Say what quality control will cost, from stored predictions; nobody is asked anything."""
    config = job.plan.config
    surrogates = job.plan.of_role("surrogate")
    if not surrogates:
        raise ConfigError(
            "stages has plan, but surrogates is empty. Choose a set, e.g. surrogates=four_tiny."
        )
    is_asked = (job.pool.table["kind"] != Kind.NEUTRAL).to_numpy() & ~job.pool.is_flagged
    confidence, share = gate_confidence(job), config.planning.valid_share

    def rows() -> list[PlanRow]:
        return plan_rows(
            num_failures(job.correct(surrogates))[is_asked],
            None if confidence is None else confidence[is_asked],
            num_surrogates=len(surrogates),
            tasks=config.qc.tasks,
            planning=config.planning,
            prior=config.qc.stopping.prior if share is None else share,
        )

    source = (
        f"valid images as the gate {job.plan.of_role('gate')[0].name} believes, uncalibrated"
        if confidence is not None
        else "no gate: the share of valid images is planning.valid_share or qc.stopping.prior"
    )
    odds = odds_lines(
        sentinel_plan(config.qc.tasks),
        config.planning.worker_accuracy,
        invalid_share=1 - (config.qc.stopping.prior if share is None else share),
    )
    return write_plan(
        job.plan.folders["plan"],
        rows,
        [f"          {line}" for line in (*odds, source)],
        show=lambda found: show(plan_table(found, num_surrogates=len(surrogates))),
    )
