"""A Hugging Face data set: Parquet files that hold the images, and a card."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from imagenetd.config.ranges import Range
from imagenetd.reports.exports.benchmark import COLUMNS, Benchmark, predicted_names
from imagenetd.reports.exports.datasheet import datasheet
from imagenetd.reports.exports.export import Export, needs, put
from imagenetd.store.folders import explained

IMAGES_PER_GROUP = 256
"""Images that are in memory at one time."""
USAGE = "python -c \"import datasets; print(datasets.load_dataset('THIS_FOLDER', split='test')[0])\""


class HuggingFaceExport(Export):
    """Writes `data/test-*.parquet` with the images inside, and `README.md`, the card.

    Args:
        set: Which images.
        to: Folder; null: in the run folder.
        licence: Of the images; null: found out.
        images_per_file: Upper bound.
    """

    def __init__(
        self,
        set: str,
        to: str | None,
        licence: str | None,
        images_per_file: Annotated[int, Range(1, 1_000_000)] = 5000,
    ) -> None:
        super().__init__(set=set, to=to, licence=licence)
        self.images_per_file = images_per_file

    def write(self, benchmark: Benchmark, folder: Path) -> str:
        """Write the Parquet files in groups of rows, so that memory does not grow with the set."""
        try:
            features = _features(benchmark)
        except ImportError as error:
            raise needs("datasets", format_name="hf") from error
        count = len(benchmark.images)
        num_files = max(1, -(-count // self.images_per_file))
        for number in range(num_files):
            rows = range(number * self.images_per_file, min((number + 1) * self.images_per_file, count))
            self._write_file(benchmark, features, rows, folder / _file_name(number, num_files))
        head = _front_matter(benchmark, self.licence_of(benchmark))
        files = {
            "data/test-*.parquet": "the images with all columns below, the class label (position of the category in "
            "alphabetical order) and, in predictions, class, correctness and confidence of every model"
        }
        text = datasheet(benchmark, licence=self.licence_of(benchmark), usage=USAGE, files=files)
        put(folder / "README.md", (head + text).encode())
        return "datasets.load_dataset('FOLDER', split='test')"

    def _write_file(self, benchmark: Benchmark, features: Any, rows: range, path: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        schema = features.arrow_schema
        with explained(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with pq.ParquetWriter(path, schema, compression="zstd") as writer:
                for first in range(rows.start, rows.stop, IMAGES_PER_GROUP):
                    group = range(first, min(first + IMAGES_PER_GROUP, rows.stop))
                    writer.write_table(pa.Table.from_pylist(list(_records(benchmark, group)), schema=schema))


def _file_name(number: int, num_files: int) -> str:
    return f"data/test-{number:05d}-of-{num_files:05d}.parquet"


def _features(benchmark: Benchmark) -> Any:
    """Return the columns with their types; `datasets` stores the types in the file itself."""
    import datasets

    types = {"int64": datasets.Value("int64"), "bool": datasets.Value("bool")}
    plain = {
        name: types.get(str(benchmark.images[name].dtype), datasets.Value("string"))
        for name in COLUMNS
        if name != "imagenet_ids"
    }
    answer = {
        "predicted": datasets.Value("string"),
        "correct": datasets.Value("bool"),
        "confidence": datasets.Value("float32"),
    }
    return datasets.Features(
        {
            "image": datasets.Image(),
            "label": datasets.ClassLabel(names=benchmark.categories),
            **plain,
            "imagenet_ids": datasets.List(datasets.Value("int64")),
            "predictions": {model.name: answer for model in benchmark.models},
        }
    )


def _records(benchmark: Benchmark, rows: range) -> Iterator[dict[str, object]]:
    classes = {name: index for index, name in enumerate(benchmark.categories)}
    answers = {model.name: (predicted_names(model), model) for model in benchmark.models}
    for position in rows:
        row = benchmark.images.iloc[position].to_dict()
        yield {
            **row,
            "image": {"bytes": benchmark.read_bytes(position), "path": Path(row["file"]).name},
            "label": classes[row["category"]],
            "imagenet_ids": [int(index) for index in row["imagenet_ids"].split()],
            "predictions": {
                name: {
                    "predicted": names[position],
                    "correct": model.is_right(position),
                    "confidence": float(model.confidence[position]),
                }
                for name, (names, model) in answers.items()
            },
        }


def _front_matter(benchmark: Benchmark, licence: str) -> str:
    """Return the card's header: which files are which split, and what the hub shows."""
    import yaml

    size = len(benchmark.images)
    head = {
        "pretty_name": benchmark.title,
        "license": licence.lower(),
        "task_categories": ["image-classification"],
        "tags": ["robustness", "synthetic", "diffusion"],
        "size_categories": ["n<1K" if size < 1000 else "1K<n<10K" if size < 10_000 else "10K<n<100K"],
        "configs": [
            {"config_name": "default", "data_files": [{"split": "test", "path": "data/test-*.parquet"}]}
        ],
    }
    return f"---\n{yaml.safe_dump(head, sort_keys=False)}---\n"
