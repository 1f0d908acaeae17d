"""Stage 5: quality control of the mined images."""

import time
from dataclasses import asdict

import numpy as np
import pandas as pd
import pyarrow as pa

from imagenetd.config.qc import PEOPLE, QcMethod
from imagenetd.qc.sampling import Arm, Sampling, digest, sampling_of
from imagenetd.qc.summary import QcSummary
from imagenetd.qc.votes import Ballot, accepted_images
from imagenetd.qc.ways import to_do
from imagenetd.records import Record, StageResult, Vote
from imagenetd.reports.qc_lines import qc_lines
from imagenetd.stages.qc_gate import auto_ballot
from imagenetd.stages.qc_people import people_ballot, valid_shares
from imagenetd.stages.run import Run
from imagenetd.stages.stored import DECISIONS_FILE, VOTES_FILE, read_qc_summary
from imagenetd.store.csv_files import csv_text
from imagenetd.store.folders import StageFolder, write_table_atomic, write_text_atomic
from imagenetd.words.prompt_table import arrow_schema


def qc(run: Run) -> StageResult:
    """Write `votes.parquet`, `decisions.parquet` and the ballot's tables as CSV; pause when votes are missing.

    Rejected images keep their row with the reason. With people, it is done on the votes that have come in until now.
    """
    method = run.setup.config.qc.method
    if method in PEOPLE:
        run.setup = run.setup.with_present_votes()
    folder = run.setup.folders["qc"]
    with folder.locked():
        record, remark = folder.sound()
        skipped = record is not None
        if record is None:
            started = time.perf_counter()
            ballot = _ballot(run)
            if ballot is not None and ballot.waiting_for:
                return _paused(run, ballot)
            record = _write(run, folder, ballot, started=started)
    note = f"{record['num_accepted'] / max(1, record['num_mined']):.1%} of {record['num_mined']} mined images pass"
    return StageResult(
        stage="qc",
        key=folder.key,
        folder=str(folder.path),
        num_items=record["num_accepted"],
        unit="accepted images",
        seconds=record["seconds"],
        is_skipped=skipped,
        note=f"{note}; {remark}" if remark else note,
        counts={"accepted": record["num_accepted"], "rejected": record["num_mined"] - record["num_accepted"]},
        details=tuple(qc_lines(read_qc_summary(folder))),
    )


def _ballot(run: Run) -> Ballot | None:
    """Return the votes of the chosen way of quality control; None accepts every mined image."""
    method = run.setup.config.qc.method
    if method is QcMethod.none:
        return None
    return auto_ballot(run) if method is QcMethod.auto else people_ballot(run)


def _paused(run: Run, ballot: Ballot) -> StageResult:
    folder, votes = run.setup.folders["qc"], run.setup.votes
    assert votes is not None, "only people are waited for"
    return StageResult(
        stage="qc",
        key=folder.key,
        folder=str(votes.folder),
        num_items=0,
        unit="accepted images",
        seconds=0.0,
        note=f"waiting for votes on {len(ballot.waiting_for)} images: {ballot.to_do}",
        counts={"waiting": len(ballot.waiting_for)},
        details=(f"          to do: {to_do(run.setup.config.qc.method, votes.folder)}",),
    )


def _write(run: Run, folder: StageFolder, ballot: Ballot | None, *, started: float) -> Record:
    pool, mined, method = run.pool, run.mined, run.setup.config.qc.method
    image_ids = pool.table["image_id"].tolist()
    votes = ballot.votes if ballot is not None else ()
    tables = ballot.tables if ballot is not None else {}
    passes = _passes(ballot, image_ids)
    kept_out = np.isin(np.array(image_ids), list(ballot.not_asked) if ballot is not None else [])
    accepted = mined & passes & ~kept_out
    sampling = _sampling(ballot, len(image_ids))
    reasons = np.where(accepted, "accepted", np.where(mined, "rejected by vote", "not mined"))
    reasons[kept_out & mined] = "rejected by gate"
    rows = pa.Table.from_pylist([asdict(vote) for vote in votes], schema=arrow_schema(Vote))
    write_table_atomic(folder.path / VOTES_FILE, rows)
    for name, table in tables.items():
        write_text_atomic(folder.path / f"{name}.csv", csv_text(pd.DataFrame(table)))
    decisions = {
        "image_id": pa.array(image_ids, pa.string()),
        "is_mined": pa.array(mined),
        "is_valid": pa.array(passes),
        "is_accepted": pa.array(accepted),
        "reason": pa.array(reasons.tolist(), pa.string()),
        "arm": pa.array(sampling.arm, pa.string()),
        "inclusion_probability": pa.array(sampling.probability),
    }
    write_table_atomic(folder.path / DECISIONS_FILE, pa.table(decisions))
    num_mined, num_accepted = int(mined.sum()), int(accepted.sum())
    found = None if ballot is None else ballot.summary
    truth = valid_shares(run, accepted)
    record = {
        "num_mined": num_mined,
        "num_accepted": num_accepted,
        "num_votes": len(votes),
        "judges_pool": method is QcMethod.auto,
        "arms": sampling.sizes(),
        "sampling_sha256": digest(image_ids, sampling),
        "method": method.value,
        "pool": run.setup.images.key,
        "summary": QcSummary(method.value, num_mined, num_accepted, truth=truth, votes=found).plain(),
        "seconds": time.perf_counter() - started,
    }
    folder.finish(record, [VOTES_FILE, DECISIONS_FILE, *(f"{name}.csv" for name in tables)])
    return record


def _sampling(ballot: Ballot | None, num_images: int) -> Sampling:
    if ballot is not None and ballot.sampling is not None:
        return ballot.sampling
    return sampling_of((str(Arm.NOT_ASKED),) * num_images, np.zeros(num_images, dtype=bool))


def _passes(ballot: Ballot | None, image_ids: list[str]) -> np.ndarray:
    if ballot is None:
        return np.ones(len(image_ids), dtype=bool)
    if ballot.accepted is not None:
        return np.array([image_id in ballot.accepted for image_id in image_ids])
    return np.array(accepted_images(ballot.votes, image_ids))
