"""A run's record without W&B: files that a spreadsheet opens, or nothing."""

import json
from pathlib import Path
from typing import Annotated

from imagenetd.config.ranges import Range
from imagenetd.reports.tables import csv_text
from imagenetd.reports.trackers.run_report import RunReport
from imagenetd.store.folders import write_bytes_atomic, write_json_atomic, write_text_atomic


class CsvLogger:
    """Writes `metrics.csv` (metric, value), `run.json`, and the failures as images with `failures.csv`.

    Args:
        folder: Where, below the folder of the run.
        max_failures: Images of failures to be written.
    """

    def __init__(self, folder: str = "csv", max_failures: Annotated[int, Range(0, 100_000)] = 64) -> None:
        self.folder = folder
        self.max_failures = max_failures

    def log_run(self, run: RunReport, folder: Path) -> str | None:
        """Write the files into `folder/<self.folder>`; there is nothing to upload."""
        import pandas as pd

        target = folder / self.folder
        metrics = pd.DataFrame(list(run.summary.items()), columns=["metric", "value"])
        write_text_atomic(target / "metrics.csv", csv_text(metrics))
        for name, frame in run.tables.items():
            write_text_atomic(target / f"{name}.csv", csv_text(frame))
        described = {"key": run.key, "name": run.name, "group": run.group, "job_type": run.job_type}
        config = json.loads(json.dumps(run.config, default=str))
        write_json_atomic(target / "run.json", {**described, "tags": list(run.tags), "config": config})
        if run.failures:
            self._write_failures(run, target)
        return None

    def _write_failures(self, run: RunReport, target: Path) -> None:
        import io

        import pandas as pd

        rows = []
        for card in run.failures[: self.max_failures]:
            encoded = io.BytesIO()
            card.image.save(encoded, format="PNG")
            write_bytes_atomic(target / "failures" / f"{card.image_id}.png", encoded.getvalue())
            row = {"image_id": card.image_id, "prompt": card.prompt, "category": card.category}
            rows.append({**row, "kind": card.kind, "nuisance": card.nuisance, **card.predictions})
        write_text_atomic(target / "failures.csv", csv_text(pd.DataFrame(rows)))


class NoLogger:
    """Logs nothing: the tables and `summary.json` of the run stand by themselves."""

    def log_run(self, run: RunReport, folder: Path) -> str | None:
        """Do nothing."""
        return None
