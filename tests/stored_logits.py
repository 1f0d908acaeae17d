"""The logits of a finished model, as no stage needs them any more: all of them at once."""

from pathlib import Path

import numpy as np

from imagenetd.images.pool import Pool
from imagenetd.scoring.predictions import read_part


def read_logits(folder: Path, pool: Pool) -> np.ndarray:
    """Return float32 "images classes" of a folder of predictions."""
    parts = (read_part(folder, shard, pool)["logits"] for shard in range(pool.layout.num_shards))
    return np.concatenate([np.array(part.to_pylist(), dtype=np.float32) for part in parts])
