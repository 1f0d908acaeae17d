"""The stage that only computes: what quality control will cost."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict

import pandas as pd

from imagenetd.qc.planning import PlanRow
from imagenetd.records import StageResult
from imagenetd.store.csv_files import csv_text
from imagenetd.store.folders import StageFolder, write_text_atomic

PLAN_FILE = "plan.csv"


def write_plan(
    folder: StageFolder,
    rows: Callable[[], Sequence[PlanRow]],
    details: Sequence[str],
    *,
    show: Callable[[Sequence[PlanRow]], None],
) -> StageResult:
    """Write `plan.csv` and show the table; it is computed anew every time, from stored predictions, in a moment.

    Args:
        folder: Of this stage.
        rows: Gives the table.
        details: Lines for people below it.
        show: Prints the table.
    """
    started = time.perf_counter()
    with folder.locked():
        table = list(rows())
        write_text_atomic(folder.path / PLAN_FILE, csv_text(pd.DataFrame([asdict(row) for row in table])))
        seconds = time.perf_counter() - started
        folder.finish({"rows": len(table), "seconds": seconds})
    show(table)
    return StageResult(
        stage="plan",
        key=folder.key,
        folder=str(folder.path / PLAN_FILE),
        num_items=len(table),
        unit="plans",
        seconds=seconds,
        details=tuple(details),
    )
