"""Where the hub has the weights that timm and open_clip name, known without reading these libraries.

To read one of them with torch takes half a minute of a processor, and a user without a connection waits for no more
than a list of files. So the names stand in tables, one for each release of a library, written by
`python -m imagenetd.models.repositories`. Of another release, and of a name that no table has, the library is asked.
"""

import csv
import functools
import importlib.metadata
from collections.abc import Iterator
from pathlib import Path

from imagenetd import ASSETS_DIR

TABLES = ASSETS_DIR / "repositories"
COLUMNS = ("model", "repository", "tokenizer")
DISTRIBUTIONS = {"timm": "timm", "open_clip": "open_clip_torch"}


def table_path(library: str) -> Path:
    """Return where the table of the installed release of a library lies, if there is one."""
    return TABLES / f"{library}-{importlib.metadata.version(DISTRIBUTIONS[library])}.csv"


def repository(library: str, model: str) -> str | None:
    """Return what the library says of a model's place on the hub; None where only the library knows.

    Args:
        library: `timm` or `open_clip`.
        model: Architecture with the tag of its weights, after a dot in timm and after a space in open_clip; in
            timm an architecture alone will do.
    """
    row = _rows(library).get(model)
    return row["repository"] if row else None


def tokenizer(architecture: str, tag: str) -> str | None:
    """Return the repository of an open_clip network's tokenizer, empty for its own; None where only open_clip knows."""
    row = _rows("open_clip").get(f"{architecture} {tag}")
    return row["tokenizer"] if row else None


@functools.cache
def _rows(library: str) -> dict[str, dict[str, str]]:
    path = table_path(library)
    if not path.is_file():
        return {}
    with open(path, newline="", encoding="utf-8") as stream:
        return {row["model"]: row for row in csv.DictReader(stream)}


def timm_rows() -> Iterator[tuple[str, str, str]]:
    """Yield the rows of timm's table; weights in a file of an unusual name are left to the library."""
    import timm

    for model in [*timm.list_pretrained(), *timm.list_models()]:  # with the tag of its weights, and without
        weights = timm.get_pretrained_cfg(model)
        if weights is not None and weights.hf_hub_id and not weights.hf_hub_filename:
            yield model, weights.hf_hub_id, ""


def open_clip_rows() -> Iterator[tuple[str, str, str]]:
    """Yield the rows of open_clip's table."""
    import open_clip
    from open_clip.pretrained import get_pretrained_cfg

    for architecture, tag in open_clip.list_pretrained():
        place = get_pretrained_cfg(architecture, tag).get("hf_hub")
        words = open_clip.get_model_config(architecture)["text_cfg"].get("hf_tokenizer_name")
        if place:
            yield f"{architecture} {tag}", place, words or ""


def main() -> None:
    """Write the tables of the installed releases."""
    for library, rows in (("timm", timm_rows()), ("open_clip", open_clip_rows())):
        TABLES.mkdir(exist_ok=True)
        with open(table_path(library), "w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(COLUMNS)
            writer.writerows(sorted(set(rows)))
        print(table_path(library))


if __name__ == "__main__":
    main()
