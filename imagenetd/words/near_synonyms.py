"""Classes of ImageNet that mean nearly the same as a category: a versioned list, each entry with its reason."""

import csv
import functools

from imagenetd import ASSETS_DIR

LENIENT_VERSION = "lenient_v1"
LENIENT_FILE = ASSETS_DIR / "label_spaces" / f"{LENIENT_VERSION}.csv"


@functools.cache
def load_near_synonyms() -> dict[str, tuple[int, ...]]:
    """Return category -> further ImageNet ids that the lenient regime accepts."""
    with open(LENIENT_FILE, newline="", encoding="utf-8") as stream:
        rows = [(row["category"], int(row["imagenet_id"])) for row in csv.DictReader(stream)]
    return {name: tuple(index for other, index in rows if other == name) for name, _ in rows}
