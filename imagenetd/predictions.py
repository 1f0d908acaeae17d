"""The logits of one model over one pool, read back in the order of the pool."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from imagenetd.errors import StoreError
from imagenetd.pool import Pool, part_name
from imagenetd.store import read_table


def read_logits(folder: Path, pool: Pool) -> np.ndarray:
    """Return float32 "images classes"; parts that do not belong to the pool are a StoreError."""
    tables = [read_table(folder / part_name(shard)) for shard in range(pool.layout.num_shards)]
    for shard, table in enumerate(tables):
        lacking = {"image_id", "logits", "seconds"} - set(table.column_names)
        if lacking or table["image_id"].to_pylist() != pool.shard_rows(shard)["image_id"].tolist():
            raise StoreError(
                f"{folder / part_name(shard)} is damaged: it does not hold the images of its shard. "
                "Delete it and run again: only its images are predicted anew."
            )
    table = pa.concat_tables(tables)
    width = table["logits"].type.list_size
    return table["logits"].combine_chunks().flatten().to_numpy(zero_copy_only=False).reshape(-1, width)


def read_seconds(folder: Path, num_shards: int) -> float:
    """Return the time that the model took over all images."""
    return float(
        sum(sum(read_table(folder / part_name(shard))["seconds"].to_pylist()) for shard in range(num_shards))
    )
