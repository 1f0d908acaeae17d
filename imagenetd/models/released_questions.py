"""The question files of the released ImageNet-D: for every image its category and the failure category."""

from pathlib import Path

import pandas as pd

from imagenetd.errors import ConfigError
from imagenetd.records import NUISANCE_KINDS
from imagenetd.store.delimited import read_delimited
from imagenetd.words.vocabulary import clean_category, load_categories

COLUMNS = ("image_dir", "gt_category", "top1_pred_cate", "top2_pred_cate")


def question_files(spec: str) -> list[Path]:
    """Return the files of a `questions/` folder, or the one file that is named."""
    path = Path(spec).expanduser()
    if path.is_file():
        return [path]
    files = sorted(path.glob("*.csv")) if path.is_dir() else []
    if not files:
        raise ConfigError(
            f"questions={spec} is neither a file nor a folder with *.csv (read from {Path.cwd()}). "
            "Name the `questions` folder of the released ImageNet-D."
        )
    return files


def released_rivals(spec: str, images: pd.DataFrame) -> dict[str, str]:
    """Return image id -> failure category: the recorded top-1, or the top-2 where the top-1 is right.

    An image is found by its kind, its folder and its file name.

    Args:
        spec: File or folder.
        images: Columns image_id, category, kind, and `file` (a dataset's path) or `text` (a pool's).

    Raises:
        ConfigError: For a file that is no question file, an image without a question, or another category.
    """
    asked = pd.concat([_read(path) for path in question_files(spec)], ignore_index=True)
    known = {place: row for place, row in zip(asked["place"], asked.to_dict("records"), strict=True)}
    paths = images["file"] if "file" in images else images["text"]
    rivals = {}
    for image_id, category, kind, path in zip(
        images["image_id"], images["category"], images["kind"], paths, strict=True
    ):
        row = known.get(_place(str(path), str(kind)))
        if row is None:
            raise ConfigError(
                f"questions={spec} has no line for {path} ({kind}). These files are about the released images; "
                "use reference=MODEL for others."
            )
        if row["category"] != category:
            raise ConfigError(
                f"questions={spec} says that {path} shows {row['category']}, but it is listed as {category}. "
                "Choose the questions of these images."
            )
        rivals[image_id] = row["rival"]
    return rivals


def _read(path: Path) -> pd.DataFrame:
    rows = read_delimited(
        path, title=f"questions: {path}", needed=COLUMNS, delimiter="\t", error=ConfigError
    ).rows
    table = pd.DataFrame({name: [row.text(name) for row in rows] for name in COLUMNS})
    kind = path.stem if path.stem in NUISANCE_KINDS else ""
    keys = {clean_category(text): key for key, c in load_categories().items() for text in (key, c.display)}
    names = table[list(COLUMNS[1:])].map(lambda text: keys.get(clean_category(text.strip()), text))
    unknown = sorted(set(names.to_numpy().ravel()) - set(keys.values()))
    if unknown:
        raise ConfigError(f"questions: {path} names {unknown[0]!r}, which is none of the 113 categories.")
    is_right = names["top1_pred_cate"] == names["gt_category"]
    return pd.DataFrame(
        {
            "place": [_place(text, kind) for text in table["image_dir"]],
            "category": names["gt_category"],
            "rival": names["top1_pred_cate"].where(~is_right, names["top2_pred_cate"]),
        }
    )


def _place(path: str, kind: str) -> str:
    parts = path.strip().replace("\\", "/").split("/")
    named = [part for part in parts[:-2] if part in NUISANCE_KINDS]
    return "/".join([named[-1] if named else kind, *parts[-2:]])
