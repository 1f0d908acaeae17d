"""The stage of quality control: which way it goes, and which votes its key rests on."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

from imagenetd.gating import auto_ballot
from imagenetd.job import Job
from imagenetd.judging import people_ballot, valid_shares
from imagenetd.qc.votes import Ballot
from imagenetd.qc_config import PEOPLE, QcMethod
from imagenetd.records import StageResult
from imagenetd.reports.qc_lines import qc_lines
from imagenetd.stages.qc import control_quality, read_qc_summary


def run_quality_control(job: Job, *, waiting: Callable[[Path], None]) -> StageResult:
    """Run the stage in the configured way; with people, on the votes that have come in until now."""
    method = job.plan.config.qc.method
    if method in PEOPLE:
        assert job.plan.votes is not None
        job.plan = job.plan.with_present_votes()
    folder = job.plan.folders["qc"]
    result = control_quality(
        folder,
        job.pool,
        job.mined,
        lambda: cast_ballot(job),
        lambda accepted: valid_shares(job, accepted),
        judges_pool=method is QcMethod.auto,
        facts={"method": method.value, "pool": job.plan.folders["generate"].key},
        waiting=waiting,
    )
    return dataclasses.replace(result, details=tuple(qc_lines(read_qc_summary(folder))))


def cast_ballot(job: Job) -> Ballot | None:
    """Return the votes of the chosen way of quality control; None when there is none."""
    method = job.plan.config.qc.method
    if method is QcMethod.none:
        return None
    return auto_ballot(job) if method is QcMethod.auto else people_ballot(job)
