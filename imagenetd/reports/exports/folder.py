"""The layout of released ImageNet-D, with the nuisance of every image beside it."""

from pathlib import Path

import pandas as pd

from imagenetd.errors import ConfigError
from imagenetd.records import NUISANCE_KINDS
from imagenetd.reports.exports.benchmark import Benchmark, predictions_frame
from imagenetd.reports.exports.datasheet import datasheet
from imagenetd.reports.exports.export import Export, put
from imagenetd.reports.tables import csv_text

IMAGES_FILE = "images.csv"
USAGE = (
    f"python run.py generator=folder generator.root=THIS_FOLDER generator.metadata=THIS_FOLDER/{IMAGES_FILE}"
)


class FolderExport(Export):
    """Writes `<kind>/<category>/<id>.png`, `questions/<kind>.csv`, `images.csv`, `predictions.csv`, `README.md`.

    Args:
        set: Which images.
        to: Folder; null: in the run folder.
        licence: Of the images; null: found out.
        question_model: Whose best categories stand in the questions; null: the first surrogate, which is CLIP
            ViT-L/14 in the paper's set, as in the release.
    """

    def __init__(
        self, set: str, to: str | None, licence: str | None, question_model: str | None = None
    ) -> None:
        super().__init__(set=set, to=to, licence=licence)
        self.question_model = question_model

    def write(self, benchmark: Benchmark, folder: Path) -> str:
        """Write the files; images keep their bytes."""
        for position, name in enumerate(benchmark.images["file"]):
            put(folder / name, benchmark.read_bytes(position))
        put(folder / IMAGES_FILE, csv_text(benchmark.images).encode())
        put(folder / "predictions.csv", csv_text(predictions_frame(benchmark)).encode())
        for kind, table in self._questions(benchmark).items():
            put(folder / "questions" / f"{kind}.csv", csv_text(table, separator="\t").encode())
        text = datasheet(benchmark, licence=self.licence_of(benchmark), usage=USAGE, files=_files(benchmark))
        put(folder / "README.md", text.encode())
        return f"python run.py generator=folder generator.root=FOLDER generator.metadata=FOLDER/{IMAGES_FILE}"

    def _questions(self, benchmark: Benchmark) -> dict[str, pd.DataFrame]:
        """Return for each kind the table of the two-choice questions (the wrong choice is the best or second best)."""
        names = [model.name for model in benchmark.models]
        asked = self.question_model or next(m.name for m in benchmark.models if m.role == "surrogate")
        if asked not in names:
            raise ConfigError(
                f"export.folder.question_model is {asked}, but the run has {', '.join(names)}. Choose one of them."
            )
        first, second = benchmark.best_two(asked)
        images = benchmark.images
        table = pd.DataFrame(
            {
                "image_dir": images["file"],
                "gt_category": images["category_name"],
                "top1_pred_cate": first,
                "top2_pred_cate": second,
            }
        )
        return {str(kind): table[(images["kind"] == kind).to_numpy()] for kind in NUISANCE_KINDS}


def _files(benchmark: Benchmark) -> dict[str, str]:
    models = ", ".join(model.name for model in benchmark.models)
    return {
        "<kind>/<category>/<image_id>.png": "the images, bytes as generated",
        IMAGES_FILE: "one row an image: category, nuisance, prompt, seeds, hash",
        "predictions.csv": f"for each image the class, correctness and confidence of {models}",
        "questions/<kind>.csv": "tab-separated two-choice questions as in released ImageNet-D",
    }
