"""Reads what finished stages have left behind: failures, twins, decisions, votes, scores."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from imagenetd.config.qc import PEOPLE, QcMethod
from imagenetd.errors import ConfigError, StoreError
from imagenetd.images.pool import Pool, checked
from imagenetd.qc.gold import gold_images
from imagenetd.qc.sampling import Sampling, require_sound
from imagenetd.qc.votes import DECISIONS_FILE, VOTES_FILE
from imagenetd.records import Failure, Score, Twin
from imagenetd.store.folders import STAGE_FILE, StageFolder, read_listed, read_stage_file, read_table

FAILURES_FILE, TWINS_FILE = "failures.parquet", "twins.parquet"
COUNTS_FILE, SCORES_FILE = "counts.parquet", "scores.parquet"


def read_mining(folder: Path, pool: Pool) -> pd.DataFrame:
    """Return the outcome of mining, one row for each image of the pool with the columns of Failure."""
    path = folder / FAILURES_FILE
    table = checked(read_listed(folder, FAILURES_FILE), Failure, path)
    pool.require_same_images(table["image_id"].to_pylist(), path)
    return table.to_pandas()


def require_twins(folder: Path, mined: pd.DataFrame, twins: Pool) -> None:
    """Raise StoreError unless the twins are those of these mined images, in their order."""
    path = folder / TWINS_FILE
    table = checked(read_table(path), Twin, path)
    found = (table["image_id"].to_pylist(), table["twin_id"].to_pylist())
    if found != (mined["image_id"].tolist(), twins.table["image_id"].tolist()):
        raise StoreError(f"{path} is damaged: it is not about the mined images. Delete it and run again.")


def read_scores(folder: Path) -> list[Score]:
    """Return the scores that the stage evaluate wrote."""
    table = checked(read_listed(folder, SCORES_FILE), Score, folder / SCORES_FILE)
    return [Score(**row) for row in table.to_pylist()]


def read_counts(folder: Path) -> pd.DataFrame:
    """Return what the stage evaluate counted, as `count_answers` made it."""
    return read_listed(folder, COUNTS_FILE).to_pandas()


@dataclass(frozen=True)
class Decisions:
    """What quality control says of every image of the pool."""

    is_accepted: np.ndarray
    """Bool "images": mined and accepted."""
    is_valid: np.ndarray | None
    """Bool "images": passes, mined or not; None when only mined images were judged."""


def read_decisions(folder: StageFolder, pool: Pool) -> Decisions:
    """Return what quality control decided."""
    path = folder.path / DECISIONS_FILE
    table = read_listed(folder.path, DECISIONS_FILE)
    pool.require_same_images(table["image_id"].to_pylist(), path)
    record = folder.done() or {}
    valid = table["is_valid"].to_numpy(zero_copy_only=False) if record.get("judges_pool") else None
    return Decisions(table["is_accepted"].to_numpy(zero_copy_only=False), valid)


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
    sampling: dict[str, tuple[str, float]]
    """Image of the pool -> its arm and probability."""


def read_human_votes(folder: Path) -> HumanVotes:
    """Return the decisions and the sampling; StoreError for probabilities that do not follow from the votes."""
    path = folder / DECISIONS_FILE
    judged = set(read_listed(folder, VOTES_FILE)["image_id"].to_pylist())
    table = read_listed(folder, DECISIONS_FILE)
    image_ids = table["image_id"].to_pylist()
    valid = dict(zip(image_ids, table["is_valid"].to_pylist(), strict=True))
    decided = {name: valid[name] for name in image_ids if name in judged}
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
