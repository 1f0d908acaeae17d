"""Stage 5: quality control of the mined images."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from imagenetd.config.qc import PEOPLE, QcMethod
from imagenetd.errors import ConfigError
from imagenetd.images.pool import Pool
from imagenetd.qc.gold import gold_images
from imagenetd.qc.sampling import Arm, Sampling, digest, require_sound, sampling_of
from imagenetd.qc.votes import Ballot, accepted_images
from imagenetd.records import StageResult
from imagenetd.store.csv_files import csv_text
from imagenetd.store.folders import (
    STAGE_FILE,
    StageFolder,
    read_listed,
    read_stage_file,
    write_table_atomic,
    write_text_atomic,
)

VOTES_FILE, DECISIONS_FILE = "votes.parquet", "decisions.parquet"

VOTE_SCHEMA = pa.schema(
    [
        ("image_id", pa.string()),
        ("worker", pa.string()),
        ("can_recognise", pa.bool_()),
        ("can_use", pa.bool_()),
        ("confidence", pa.float64()),
        ("arm", pa.string()),
        ("inclusion_probability", pa.float64()),
    ]
)


@dataclass(frozen=True)
class Decisions:
    """What quality control says of every image of the pool."""

    is_accepted: np.ndarray
    """Bool "images": mined and accepted."""
    is_valid: np.ndarray | None
    """Bool "images": passes, mined or not; None when only mined images were judged."""


def control_quality(
    folder: StageFolder,
    pool: Pool,
    mined: np.ndarray,
    ballot: Callable[[], Ballot | None],
    truth: Callable[[np.ndarray], dict[str, Any]],
    *,
    judges_pool: bool,
    facts: dict[str, Any],
) -> StageResult:
    """Write `votes.parquet`, `decisions.parquet` and the ballot's tables as CSV; pause when votes are missing.

    Rejected images keep their row with the reason.

    Args:
        folder: Of this stage.
        pool: The images.
        mined: Bool "images".
        ballot: Gives the votes when they are needed; None accepts every mined image.
        truth: Gives, for the accepted images, the shares of valid ones, where the truth is known.
        judges_pool: The ballot covers the whole pool, not only the mined images.
        facts: About the run, for the record: the method and the pool's key.
    """
    with folder.locked():
        record, remark = folder.sound()
        skipped = record is not None
        if record is None:
            started = time.perf_counter()
            cast = ballot()
            if cast is not None and cast.waiting_for:
                return _paused(folder, cast)
            record, accepted = _write(folder, pool, mined, cast, judges_pool)
            numbers = {"num_mined": record["num_mined"], "num_accepted": record["num_accepted"]}
            summary = {"method": facts["method"]} | numbers | truth(accepted)
            summary |= dict(cast.summary) if cast is not None else {}
            record |= facts | {"summary": summary, "seconds": time.perf_counter() - started}
            tables = [f"{name}.csv" for name in (cast.tables if cast is not None else {})]
            folder.finish(record, [VOTES_FILE, DECISIONS_FILE, *tables])
    note = f"{record['num_accepted'] / max(1, record['num_mined']):.1%} of {record['num_mined']} mined images pass"
    note += f"; {remark}" if remark else ""
    counts = {"accepted": record["num_accepted"], "rejected": record["num_mined"] - record["num_accepted"]}
    return StageResult(
        stage="qc",
        key=folder.key,
        folder=str(folder.path),
        num_items=record["num_accepted"],
        unit="accepted images",
        seconds=record["seconds"],
        is_skipped=skipped,
        note=note,
        counts=counts,
    )


def _paused(folder: StageFolder, cast: Ballot) -> StageResult:
    return StageResult(
        stage="qc",
        key=folder.key,
        folder=str(folder.path),
        num_items=0,
        unit="accepted images",
        seconds=0.0,
        note=f"waiting for votes on {len(cast.waiting_for)} images: {cast.to_do}",
        counts={"waiting": len(cast.waiting_for)},
    )


def _write(
    folder: StageFolder, pool: Pool, mined: np.ndarray, ballot: Ballot | None, judges_pool: bool
) -> tuple[dict[str, Any], np.ndarray]:
    image_ids = pool.table["image_id"].tolist()
    votes = ballot.votes if ballot is not None else ()
    passes = _passes(ballot, image_ids)
    kept_out = np.isin(np.array(image_ids), list(ballot.not_asked) if ballot is not None else [])
    accepted = mined & passes & ~kept_out
    sampling = _sampling(ballot, len(image_ids))
    reasons = np.where(accepted, "accepted", np.where(mined, "rejected by vote", "not mined"))
    reasons[kept_out & mined] = "rejected by gate"
    write_table_atomic(
        folder.path / VOTES_FILE, pa.Table.from_pylist([asdict(v) for v in votes], schema=VOTE_SCHEMA)
    )
    for name, rows in (ballot.tables if ballot is not None else {}).items():
        write_text_atomic(folder.path / f"{name}.csv", csv_text(pd.DataFrame(rows)))
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
    record = {
        "num_mined": int(mined.sum()),
        "num_accepted": int(accepted.sum()),
        "num_votes": len(votes),
        "judges_pool": judges_pool and ballot is not None,
        "arms": sampling.sizes(),
        "sampling_sha256": digest(image_ids, sampling),
    }
    return record, accepted


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


def read_qc_summary(folder: StageFolder) -> dict[str, Any]:
    """Return what quality control found, as plain numbers for `summary.json`; empty while it waits for votes."""
    return dict((folder.done() or {}).get("summary", {}))


def voters(folder: Path) -> str:
    """Return the way by which a finished folder of quality control got its votes, e.g. `local` or `simulated`."""
    return str((read_stage_file(folder / STAGE_FILE) or {}).get("method"))


@dataclass(frozen=True)
class HumanVotes:
    """What people decided in a finished folder of quality control, and how its images were chosen."""

    folder: Path
    decided: dict[str, bool]
    """Judged image -> whether people accept it."""
    sampling: dict[str, tuple[str, float]] | None
    """Image of the pool -> its arm and probability; None: made by a version that did not record them."""


def read_human_votes(folder: Path) -> HumanVotes:
    """Return the decisions and the sampling; StoreError for probabilities that do not follow from the votes."""
    path = folder / DECISIONS_FILE
    judged = set(read_listed(folder, VOTES_FILE)["image_id"].to_pylist())
    table = read_listed(folder, DECISIONS_FILE)
    image_ids = table["image_id"].to_pylist()
    valid = dict(zip(image_ids, table["is_valid"].to_pylist(), strict=True))
    decided = {name: valid[name] for name in image_ids if name in judged}
    if "arm" not in table.column_names:
        return HumanVotes(folder, decided, None)
    arms, chances = table["arm"].to_pylist(), table["inclusion_probability"].to_numpy(zero_copy_only=False)
    record = read_stage_file(folder / STAGE_FILE) or {}
    sampling = Sampling(tuple(map(str, arms)), chances.astype(np.float64))
    require_sound(image_ids, sampling, judged, recorded=record.get("sampling_sha256"), where=str(path))
    return HumanVotes(
        folder, decided, dict(zip(image_ids, zip(arms, chances.tolist(), strict=True), strict=True))
    )


def read_gold(folder: Path, image_ids: Sequence[str], *, share: float) -> np.ndarray:
    """Return int8 "images": 1 for a hard image that votes settled to show its object, -1 not to show it, else 0.

    Args:
        folder: A finished folder of quality control with votes of people or simulated workers.
        image_ids: Of the pool; an image that the folder does not know is 0.
        share: See `gold_images`.
    """
    if voters(folder) not in {method.value for method in (*PEOPLE, QcMethod.simulated)}:
        raise ConfigError(
            f"qc.tasks.hard_votes={folder} holds the decisions of qc={voters(folder)}, not votes of people. Name a "
            "folder of qc=local, form, labelstudio or mturk."
        )
    read_human_votes(folder)  # refuses a damaged one
    votes, decisions = read_listed(folder, VOTES_FILE), read_listed(folder, DECISIONS_FILE)
    known = {name: number for number, name in enumerate(image_ids)}
    place = np.array([known.get(name, -1) for name in votes["image_id"].to_pylist()], dtype=np.int64)
    counted = place >= 0
    answers = (votes[name].to_numpy()[counted] for name in ("can_recognise", "can_use"))
    gold = gold_images(place[counted], *answers, num_images=len(image_ids), share=share)
    rows = zip(decisions["image_id"].to_pylist(), decisions["is_mined"].to_pylist(), strict=True)
    hard = {name for name, is_mined in rows if is_mined}
    return np.where([name in hard for name in image_ids], gold, 0).astype(np.int8)


def read_decisions(folder: StageFolder, pool: Pool) -> Decisions:
    """Return what quality control decided."""
    path = folder.path / DECISIONS_FILE
    table = read_listed(folder.path, DECISIONS_FILE)
    pool.require_same_images(table["image_id"].to_pylist(), path)
    record = folder.done() or {}
    valid = table["is_valid"].to_numpy(zero_copy_only=False) if record.get("judges_pool") else None
    return Decisions(table["is_accepted"].to_numpy(zero_copy_only=False), valid)
