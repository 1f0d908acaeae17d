"""WebDataset: tar shards that a training loop streams."""

import json
from pathlib import Path
from typing import Annotated, Any

from imagenetd.config.ranges import Range
from imagenetd.reports.evidence import ModelEvidence
from imagenetd.reports.exports.benchmark import Benchmark, predicted_names
from imagenetd.reports.exports.datasheet import datasheet
from imagenetd.reports.exports.export import Export, needs, put
from imagenetd.store.folders import explained

USAGE = (
    'python -c "import webdataset; '
    "print(next(iter(webdataset.WebDataset('THIS_FOLDER/shard-000000.tar', shardshuffle=False))))\""
)


class WebDatasetExport(Export):
    """Writes `shard-*.tar` with `<id>.png`, `<id>.cls` and `<id>.json`, `classes.json`, and `README.md`.

    Args:
        set: Which images.
        to: Folder; null: in the run folder.
        licence: Of the images; null: found out.
        images_per_shard: Upper bound.
    """

    def __init__(
        self,
        set: str,
        to: str | None,
        licence: str | None,
        images_per_shard: Annotated[int, Range(1, 1_000_000)] = 1000,
    ) -> None:
        super().__init__(set=set, to=to, licence=licence)
        self.images_per_shard = images_per_shard

    def write(self, benchmark: Benchmark, folder: Path) -> str:
        """Write the shards; equal sets give equal bytes."""
        try:
            import webdataset
        except ImportError as error:
            raise needs("webdataset", format_name="webdataset") from error
        count = len(benchmark.images)
        num_shards = max(1, -(-count // self.images_per_shard))
        answers = {model.name: (predicted_names(model), model) for model in benchmark.models}
        classes = {name: index for index, name in enumerate(benchmark.categories)}
        put(folder / "classes.json", json.dumps(benchmark.categories, indent=1).encode())
        for number in range(num_shards):
            path = folder / f"shard-{number:06d}.tar"
            rows = range(number * self.images_per_shard, min((number + 1) * self.images_per_shard, count))
            with explained(path), webdataset.TarWriter(str(path), mtime=0) as writer:
                for position in rows:
                    writer.write(_sample(benchmark, position, classes, answers))
        files = {
            "shard-*.tar": "for each image its PNG, its class (.cls) and everything else (.json)",
            "classes.json": "category of each class",
        }
        text = datasheet(benchmark, licence=self.licence_of(benchmark), usage=USAGE, files=files)
        put(folder / "README.md", text.encode())
        last = f"{num_shards - 1:06d}"
        return f"webdataset.WebDataset('FOLDER/shard-{{000000..{last}}}.tar', shardshuffle=False)"


def _sample(
    benchmark: Benchmark,
    position: int,
    classes: dict[str, int],
    answers: dict[str, tuple[list[str], ModelEvidence]],
) -> dict[str, object]:
    row = benchmark.images.iloc[position].to_dict()
    row["imagenet_ids"] = [int(index) for index in row["imagenet_ids"].split()]
    row["predictions"] = {
        name: {
            "predicted": names[position],
            "correct": model.is_right(position),
            "confidence": round(float(model.confidence[position]), 6),
        }
        for name, (names, model) in answers.items()
    }
    return {
        "__key__": row["image_id"],
        "png": benchmark.read_bytes(position),
        "cls": classes[row["category"]],
        "json": json.dumps(row, ensure_ascii=False, default=_plain).encode(),
    }


def _plain(value: Any) -> Any:
    return value.item()  # of a numpy scalar
