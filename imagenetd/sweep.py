"""The end of a sweep: a table that compares its jobs."""

import json
from pathlib import Path
from typing import Any, ClassVar

from hydra.experimental.callback import Callback
from omegaconf import DictConfig
from rich.text import Text

from imagenetd.commandline import JOB_FILE


class ComparisonCallback(Callback):
    """Hydra calls it when all jobs of a sweep have ended, in whatever process they ran."""

    num_failed_jobs: ClassVar[int] = 0

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Print and write the comparison of the jobs that came to an end, and name those that did not."""
        from imagenetd.console import console
        from imagenetd.reports.comparison import comparison_table, comparison_view
        from imagenetd.reports.tables import write_csv
        from imagenetd.stages.report import read_summary

        sweep = Path(config.hydra.sweep.dir)
        jobs = sorted(
            (json.loads(path.read_text()) for path in sweep.glob(f"*/{JOB_FILE}")),
            key=lambda job: job["number"],
        )
        failed = [job for job in jobs if "error" in job]
        type(self).num_failed_jobs = len(failed)
        summaries, overrides = [], []
        for job in jobs:
            summary = read_summary(Path(job["folder"])) if "folder" in job else None
            if summary is not None:
                summaries.append(summary)
                overrides.append(job["overrides"])
        if summaries:
            common = set.intersection(*(set(changes) for changes in overrides))
            overrides = [[change for change in changes if change not in common] for changes in overrides]
            table = comparison_table(summaries, overrides=overrides)
            path = write_csv(table, sweep / "comparison.csv")
            console().print(comparison_view(table))
            console().print(f"comparison of {len(summaries)} of {len(jobs)} jobs -> {path}", soft_wrap=True)
        for job in failed:
            line = f"job {job['number']} ({' '.join(job['overrides'])}) failed: {job['error']}"
            console().print(Text(line, style="red"), soft_wrap=True)
