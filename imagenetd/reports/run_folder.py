"""The files of a run's folder, and of a job of a sweep, that others look for."""

from pathlib import Path

from imagenetd.records import Record
from imagenetd.store.folders import read_stage_file

HTML_FILE = "report.html"
JOB_FILE = "job.json"
"""In Hydra's folder of a job: how it ended."""


def read_summary(run_dir: Path) -> Record | None:
    """Return a run's `summary.json`, None when the run did not get so far."""
    return read_stage_file(run_dir / "summary.json")
