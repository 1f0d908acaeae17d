"""Runs the chosen reports, writes their tables, and says what goes into `summary.json`."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from imagenetd.reports.evidence import Evidence, ReportResult
from imagenetd.reports.report import Report
from imagenetd.reports.tables import write_csv


def run_reports(
    reports: Mapping[str, Report], evidence: Callable[[], Evidence], folder: Path
) -> list[ReportResult]:
    """Run every report and write `<folder>/<report>/<table>.csv`.

    Reports are computed anew at each start: they take seconds, and their code is no part of any key.

    Args:
        reports: Name in the config -> report.
        evidence: Called once, and only when there is a report.
        folder: `tables` of the run.
    """
    if not reports:
        return []
    given = evidence()
    results = [report.report(given) for report in reports.values()]
    for result in results:
        for name, table in result.tables.items():
            write_csv(table, folder / result.name / f"{name}.csv")
    return results


def report_summaries(results: Sequence[ReportResult]) -> dict[str, dict[str, Any]]:
    """Return, for each report, its numbers and its findings as JSON can hold them."""
    return {result.name: {**_plain(result.summary), "findings": list(result.findings)} for result in results}


def _plain(value: Any) -> Any:
    """Return numbers of numpy as Python's, and what is no number as null: JSON knows neither."""
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
