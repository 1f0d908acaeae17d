"""The confirmation set: another seed of every mined prompt, which no model chose (sample splitting over seeds)."""

from dataclasses import fields
from pathlib import Path

import pandas as pd
import pyarrow as pa

from imagenetd.errors import StoreError
from imagenetd.images.pool import Pool, checked
from imagenetd.records import Prompt, Twin
from imagenetd.store.folders import StageFolder, read_table, write_table_atomic
from imagenetd.words.prompt_table import PromptTable, arrow_schema

TWINS_FILE = "twins.parquet"


def twin_prompts(mined: pd.DataFrame, *, num_images_per_cell: int) -> PromptTable:
    """Return the prompt of each mined image again, with the seed index that a larger pool would give next.

    A twin is the image `seed_index + num_images_per_cell` of its cell: none of the pool's, never twice the same, and
    the one that a pool of twice as many images a cell holds there. Its text is that of the mined image, whatever
    templates take turns.

    Args:
        mined: Rows of the pool's table.
        num_images_per_cell: Of the pool.
    """
    rows = []
    for index, row in enumerate(mined.to_dict("records")):
        seed_index = int(row["seed_index"]) + num_images_per_cell
        pair = f"{row['category']}/{row['seed']}/{seed_index}" if row["pair"] else ""
        prompt = {field.name: row[field.name] for field in fields(Prompt)}
        rows.append(Prompt(**(prompt | {"index": index, "seed_index": seed_index, "pair": pair})))
    return PromptTable.of(rows)


def write_twins(folder: StageFolder, mined: pd.DataFrame, twins: Pool | None, *, seconds: float) -> None:
    """Write `twins.parquet`, one row for each mined image with the id of its twin, and mark the stage as done.

    Args:
        folder: Of this stage.
        mined: Rows of the pool's table.
        twins: One image for each of them, in their order; None when nothing was mined.
        seconds: That the stage took.
    """
    of_twin = [] if twins is None else twins.table["image_id"].tolist()
    rows = zip(mined["image_id"].tolist(), of_twin, strict=True)
    records = [{"image_id": image, "twin_id": twin} for image, twin in rows]
    write_table_atomic(folder.path / TWINS_FILE, pa.Table.from_pylist(records, schema=arrow_schema(Twin)))
    folder.finish({"num_twins": len(mined), "pool": None if twins is None else twins.key, "seconds": seconds})


def require_twins(folder: Path, mined: pd.DataFrame, twins: Pool) -> None:
    """Raise StoreError unless the twins are those of these mined images, in their order."""
    path = folder / TWINS_FILE
    table = checked(read_table(path), Twin, path)
    found = (table["image_id"].to_pylist(), table["twin_id"].to_pylist())
    if found != (mined["image_id"].tolist(), twins.table["image_id"].tolist()):
        raise StoreError(f"{path} is damaged: it is not about the mined images. Delete it and run again.")
