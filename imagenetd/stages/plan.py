"""The stage that only computes: what quality control will cost."""

import time
from dataclasses import asdict

import pandas as pd

from imagenetd.errors import ConfigError
from imagenetd.qc.costs import cost_rows, sentinel_design
from imagenetd.qc.odds import odds_lines
from imagenetd.records import Kind, StageResult
from imagenetd.reports.cost_table import cost_table
from imagenetd.scoring.mining import num_failures
from imagenetd.stages.qc_people import gate_confidence
from imagenetd.stages.run import Run
from imagenetd.store.console import console
from imagenetd.store.csv_files import csv_text
from imagenetd.store.folders import write_text_atomic

PLAN_FILE = "plan.csv"


def plan(run: Run) -> StageResult:
    """Write `plan.csv` and show the table; it is computed anew every time, from stored predictions, in a moment.

    Nobody is asked anything.
    """
    config, folder, surrogates = run.setup.config, run.setup.folders["plan"], run.setup.of_role("surrogate")
    if not surrogates:
        raise ConfigError(
            "stages has plan, but surrogates is empty. Choose a set, e.g. surrogates=four_tiny."
        )
    prior = config.qc.stopping.prior if config.planning.valid_share is None else config.planning.valid_share
    started, confidence = time.perf_counter(), gate_confidence(run)
    with folder.locked():
        is_asked = (run.pool.table["kind"] != Kind.NEUTRAL).to_numpy() & ~run.pool.is_flagged
        rows = cost_rows(
            num_failures(~run.wrong(surrogates))[is_asked],
            None if confidence is None else confidence[is_asked],
            num_surrogates=len(surrogates),
            tasks=config.qc.tasks,
            planning=config.planning,
            prior=prior,
        )
        write_text_atomic(folder.path / PLAN_FILE, csv_text(pd.DataFrame([asdict(row) for row in rows])))
        seconds = time.perf_counter() - started
        folder.finish({"rows": len(rows), "seconds": seconds})
    console().print(cost_table(rows, num_surrogates=len(surrogates)))
    sentinels = sentinel_design(config.qc.tasks)
    odds = odds_lines(sentinels, config.planning.worker_accuracy, invalid_share=1 - prior)
    source = (
        f"valid images as the gate {run.setup.of_role('gate')[0].name} believes, uncalibrated"
        if confidence is not None
        else "no gate: the share of valid images is planning.valid_share or qc.stopping.prior"
    )
    return StageResult(
        stage="plan",
        key=folder.key,
        folder=str(folder.path / PLAN_FILE),
        num_items=len(rows),
        unit="plans",
        seconds=seconds,
        details=tuple(f"          {line}" for line in (*odds, source)),
    )
