"""A finished run whose files are damaged on purpose, and the readers that must notice it."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from imagenetd.errors import StoreError
from imagenetd.images.pool import (
    open_prompts_by_shard,
    part_name,
    prompts_of_shard,
    read_layout,
    read_pool,
    read_prompts,
)
from imagenetd.images.writer import stored_rows
from imagenetd.reports.run_folder import read_summary
from imagenetd.scoring.predictions import ANSWERS_FILE, read_answers, subject
from imagenetd.stages.record import read_record, read_regimes
from imagenetd.stages.run import Run
from imagenetd.stages.stored import read_counts, read_decisions, read_human_votes, read_mining, read_scores
from imagenetd.stages.workers.work import ORDER_FILE, read_order
from imagenetd.store.folders import read_table
from tests.stored_logits import read_logits


@dataclass(frozen=True)
class Kind:
    """A kind of file of a run."""

    name: str
    path: Path
    read: Callable[[], Any]
    """Reads it as a later stage does."""


def kinds(run: Run) -> list[Kind]:
    """Return every kind of file that a later stage reads, each with its reader."""
    folders, pool = run.setup.folders, run.pool
    model, root = folders["s0"], folders["generate"].path
    images = range(3)
    rows = read_prompts(folders["prompts"].path / "prompts.parquet")[: len(pool.layout.images(0))]
    cut, layout = root / "prompts.parquet", read_layout(root)
    shard, answers = root / "shards" / "shard-000000.tar", model.path / ANSWERS_FILE
    (space,) = (run.space(planned) for planned in run.setup.models if planned.name == "s0")
    found = [
        ("logits", model.path / part_name(0), lambda: read_logits(model.path, pool)),
        ("answers", answers, lambda: read_answers(model.path, pool, space).table.to_pandas()),
        ("unfinished logits", model.path / part_name(0), lambda: _part(model.path, model.key, pool.key)),
        ("manifest", root / "manifest.parquet", lambda: read_pool(root, pool.key).table),
        ("part of the manifest", root / "manifest" / part_name(0), lambda: _table(root / "manifest", run)),
        ("prompts", folders["prompts"].path / "prompts.parquet", lambda: _prompts(folders["prompts"].path)),
        ("failures", folders["mine"].path / "failures.parquet", lambda: read_mining(folders["mine"].path, pool)),
        ("decisions", folders["qc"].path / "decisions.parquet", lambda: _decisions(run)),
        ("votes", folders["qc"].path / "votes.parquet", lambda: read_human_votes(folders["qc"].path)),
        ("scores", folders["evaluate"].path / "scores.parquet", lambda: str(read_scores(folders["evaluate"].path))),
        ("counts", folders["evaluate"].path / "counts.parquet", lambda: read_counts(folders["evaluate"].path)),
        ("record", folders["evaluate"].path / "per_image.parquet", lambda: read_record(folders["evaluate"].path)),
        ("regimes", folders["evaluate"].path / "regimes.parquet", lambda: read_regimes(folders["evaluate"].path)),
        ("images", shard, lambda: [pool.read_bytes(index) for index in images]),
        ("shard", shard, lambda: stored_rows(shard, rows, _generator(pool.table), {})),
        ("stage.json", model.path / "stage.json", lambda: model.done() or _gone()),
        ("layout.json", root / "layout.json", lambda: read_layout(root)),
        ("prompts by shard", cut, lambda: prompts_of_shard(open_prompts_by_shard(cut), 0, layout, cut)),
        ("order.json", root / ORDER_FILE, lambda: read_order(root)),
        ("summary.json", folders["report"].path / "summary.json", lambda: read_summary(folders["report"].path)),
    ]  # fmt: skip
    return [Kind(*entry) for entry in found]


def _gone() -> Any:
    raise StoreError("not done: it is made anew")


def _part(folder: Path, model: str, pool: str) -> pd.DataFrame:
    return read_table(folder / part_name(0), of=subject(model, pool)).to_pandas()


def _table(folder: Path, run: Run) -> pd.DataFrame:
    return read_table(folder / part_name(0), of=_generator(run.pool.table)).to_pandas()


def _prompts(folder: Path) -> list[Any]:
    return list(read_prompts(folder / "prompts.parquet"))


def _decisions(run: Run) -> list[Any]:
    found = read_decisions(run.setup.folders["qc"], run.pool)
    return [found.is_accepted, found.is_valid]


def _generator(table: pd.DataFrame) -> str:
    return str(table["generator"].iloc[0])


def same(one: Any, other: Any) -> bool:
    """Tell whether two readings give the same."""
    if isinstance(one, pd.DataFrame):
        try:
            pd.testing.assert_frame_equal(one, other, check_exact=True)
        except AssertionError:
            return False
        return True
    if isinstance(one, np.ndarray):
        return (
            bool(np.array_equal(one, other, equal_nan=True))
            if one.dtype.kind == "f"
            else bool(np.array_equal(one, other))
        )
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def unseen_flips(kind: Kind, *, num_flips: int, seed: int) -> list[tuple[int, int]]:
    """Flip one bit after the other; return the places (byte, bit) where the reader neither refuses nor reads the same.

    An error that is no StoreError is not caught: it would be a traceback.
    """
    draw, whole, right = random.Random(f"{seed} {kind.name}"), kind.path.read_bytes(), kind.read()
    unseen = []
    for _ in range(num_flips):
        place, bit = draw.randrange(len(whole)), draw.randrange(8)
        damaged = bytearray(whole)
        damaged[place] ^= 1 << bit
        kind.path.write_bytes(damaged)
        try:
            if not same(right, kind.read()):
                unseen.append((place, bit))
        except StoreError as error:
            assert "\n" not in str(error)
    kind.path.write_bytes(whole)
    return unseen
