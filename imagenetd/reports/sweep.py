"""The end of a sweep: a table that compares its jobs."""

import os
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from imagenetd.records import Record
from imagenetd.reports.run_folder import JOB_FILE

JOB_FIELDS = {"number": int, "overrides": list}


class ComparisonCallback(Callback):
    """Hydra calls it when all jobs of a sweep have ended, in whatever process they ran."""

    num_failed_jobs: ClassVar[int] = 0
    unfinished: ClassVar[Path | None] = None
    """Folder of a sweep that has begun and not ended."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Forget the jobs of an earlier sweep in the same folder."""
        sweep = Path(config.hydra.sweep.dir)
        for path in sweep.rglob(JOB_FILE):
            path.unlink()
        type(self).unfinished = sweep

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Print and write the comparison of the jobs that came to an end, and name those that did not."""
        type(self).unfinished = None
        type(self).num_failed_jobs = show_comparison(Path(config.hydra.sweep.dir))


def show_comparison(sweep: Path) -> int:
    """Print and write the comparison of a sweep's jobs; return how many failed."""
    from imagenetd.reports.run_folder import read_summary
    from imagenetd.reports.sweep_table import comparison_table, comparison_view
    from imagenetd.reports.tables import write_csv
    from imagenetd.store.console import cell, console
    from imagenetd.store.folders import read_sealed_record

    jobs = sorted(
        (read_sealed_record(path, JOB_FIELDS) for path in sweep.rglob(JOB_FILE)),
        key=lambda job: job["number"],
    )
    common = set.intersection(*(set(job["overrides"]) for job in jobs)) if jobs else set()
    for job in jobs:
        job["changes"] = [change for change in job["overrides"] if change not in common]
    summaries = [read_summary(Path(job["folder"])) if "folder" in job else None for job in jobs]
    found = [(summary, job) for summary, job in zip(summaries, jobs, strict=True) if summary]
    if found:
        table = comparison_table(
            [summary for summary, _ in found],
            overrides=[job["changes"] for _, job in found],
            numbers=[job["number"] for _, job in found],
        )
        path = write_csv(table, sweep / "comparison.csv")
        console().print(comparison_view(table))
        console().print(cell(f"as a page -> {_write_page(sweep, table, jobs)}"), soft_wrap=True)
        console().print(cell(f"comparison of {len(found)} of {len(jobs)} jobs -> {path}"), soft_wrap=True)
    failed = [job for job in jobs if "error" in job]
    for job in failed:
        changes = " ".join(job["changes"] or job["overrides"])
        console().print(
            cell(f"job {job['number']} ({changes}) failed: {job['error']}", style="red"), soft_wrap=True
        )
    return len(failed)


def _write_page(sweep: Path, table: Any, jobs: list[Record]) -> Path:
    """Write the page that compares the jobs and leads to the page of each."""
    from imagenetd.reports.html.sweep_page import comparison_page
    from imagenetd.reports.run_folder import HTML_FILE
    from imagenetd.store.folders import write_text_atomic

    pages = {
        job["number"]: Path(job["folder"]) / HTML_FILE
        for job in jobs
        if "folder" in job and "error" not in job
    }
    links = [
        (f"job {number}: {path.parent.name}", quote(os.path.relpath(path, sweep)))
        for number, path in pages.items()
        if path.is_file()
    ]
    page = sweep / "comparison.html"
    write_text_atomic(page, comparison_page(table, links))
    return page
