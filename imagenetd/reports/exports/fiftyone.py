"""A FiftyOne data set, written with the standard library: no database is needed to export, only to look.

The format is that of `fiftyone.types.FiftyOneDataset` (checked with FiftyOne 1.22): `metadata.json` describes fields
and saved views, `samples.json` holds the samples. Written as version 1.0.0, which later versions of FiftyOne migrate.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from imagenetd.records import NUISANCE_KINDS
from imagenetd.reports.exports.benchmark import COLUMNS, Benchmark, predicted_names
from imagenetd.reports.exports.datasheet import datasheet
from imagenetd.reports.exports.export import Export, put

VERSION = "1.0.0"
USAGE = (
    'python -c "import fiftyone as fo; '
    "data = fo.Dataset.from_dir('THIS_FOLDER', dataset_type=fo.types.FiftyOneDataset); "
    'fo.launch_app(data).wait()"'
)
SAMPLE_FIELDS = {
    "filepath": "String",
    "id": "ObjectId",
    "tags": "List:String",
    "metadata": "Embedded:metadata.ImageMetadata",
    "_media_type": "String",
    "_rand": "Float",
    "ground_truth": "Embedded:labels.Classification",
}
LABEL_PARTS = {"id": "ObjectId", "tags": "List:String", "label": "String", "confidence": "Float"}
METADATA_PARTS = {"size_bytes": "Int", "mime_type": "String", "width": "Int", "height": "Int"}
OMITTED = {"file", "category"}
"""Columns that are already there, as `filepath` and `ground_truth`."""


class FiftyOneExport(Export):
    """Writes `samples.json`, `metadata.json`, `data/<id>.png` and `README.md`.

    Every sample has the ground truth, prompt, nuisance, seeds, the prediction of every model with confidence, and the
    tags `mined`, `accepted`, `easy` and `<model> wrong`. Saved views: the sets, the kinds, the failures of each target,
    and what all targets get wrong.

    Args:
        set: Which images.
        to: Folder; null: in the run folder.
        licence: Of the images; null: found out.
    """

    def __init__(self, set: str, to: str | None, licence: str | None) -> None:
        super().__init__(set=set, to=to, licence=licence)

    def write(self, benchmark: Benchmark, folder: Path) -> str:
        """Write the data set."""
        for position, image_id in enumerate(benchmark.images["image_id"]):
            put(folder / "data" / f"{image_id}.png", benchmark.read_bytes(position))
        put(folder / "samples.json", json.dumps({"samples": _samples(benchmark)}).encode())
        put(folder / "metadata.json", json.dumps(_metadata(benchmark), indent=1).encode())
        files = {
            "samples.json, metadata.json": "a FiftyOneDataset: truth, prompt, nuisance, predictions, saved views",
            "data/<image_id>.png": "the images, bytes as generated",
        }
        text = datasheet(benchmark, licence=self.licence_of(benchmark), usage=USAGE, files=files)
        put(folder / "README.md", text.encode())
        return "fiftyone.Dataset.from_dir('FOLDER', dataset_type=fiftyone.types.FiftyOneDataset)"


def _object_id(*parts: str) -> dict[str, str]:
    """Return an id that is the same in every export of the same thing."""
    return {"$oid": hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:24]}


def _field(name: str, kind: str, parts: dict[str, str] | None = None) -> dict[str, object]:
    """Return the description of a field; `kind` is `String`, `List:String` or `Embedded:labels.Classification`."""
    outer, _, inner = kind.partition(":")
    is_embedded = outer == "Embedded"
    return {
        "name": name,
        "ftype": f"fiftyone.core.fields.{'EmbeddedDocument' if is_embedded else outer}Field",
        "embedded_doc_type": f"fiftyone.core.{inner}" if is_embedded else None,
        "subfield": f"fiftyone.core.fields.{inner}Field" if outer == "List" else None,
        "fields": [_field(part, of) for part, of in (parts or {}).items()],
        "db_field": "_id" if name == "id" else name,
    }


def _plain_fields(benchmark: Benchmark) -> dict[str, str]:
    kinds = {"int64": "Int", "bool": "Boolean"}
    names = [name for name in COLUMNS if name not in OMITTED]
    return {
        name: "List:Int" if name == "imagenet_ids" else kinds.get(str(benchmark.images[name].dtype), "String")
        for name in names
    }


def _samples(benchmark: Benchmark) -> list[dict[str, object]]:
    answers = [(model, predicted_names(model)) for model in benchmark.models]
    plain = list(_plain_fields(benchmark))
    samples = []
    for position, row in enumerate(benchmark.images.to_dict("records")):
        image_id = row["image_id"]
        tags = [name for name in ("mined", "accepted", "easy") if row[f"is_{name}"]]
        tags += [f"{model.name} wrong" for model, _ in answers if model.wrong[position]]
        sample: dict[str, object] = {
            "_id": _object_id("sample", image_id),
            "filepath": f"data/{image_id}.png",
            "_media_type": "image",
            "_rand": int(image_id, 16) / 16 ** len(image_id),
            "tags": tags,
            "metadata": {
                "_cls": "ImageMetadata",
                "mime_type": "image/png",
                "width": row["width_px"],
                "height": row["height_px"],
            },
            "ground_truth": _label(image_id, "ground_truth", row["category"]),
            **{name: row[name] for name in plain if name != "imagenet_ids"},
            "imagenet_ids": [int(index) for index in row["imagenet_ids"].split()],
        }
        for model, names in answers:
            label = _label(
                image_id, model.name, names[position], confidence=float(model.confidence[position])
            )
            label["tags"] = ["wrong"] if model.wrong[position] else []
            sample[field_name(model.name)] = label
        samples.append(sample)
    return samples


def _label(image_id: str, field: str, label: str, confidence: float | None = None) -> dict[str, object]:
    return {
        "_id": _object_id("label", image_id, field),
        "_cls": "Classification",
        "tags": [],
        "label": label,
        **({} if confidence is None else {"confidence": confidence}),
    }


def field_name(model: str) -> str:
    """Return the field of a model's predictions; FiftyOne allows letters, digits and underscores.

    >>> field_name("clip-vit.b/32")
    'clip_vit_b_32'
    """
    return "".join(letter if letter.isalnum() else "_" for letter in model)


def _metadata(benchmark: Benchmark) -> dict[str, object]:
    fields = {"ground_truth": LABEL_PARTS, "metadata": METADATA_PARTS}
    described = [_field(name, kind, fields.get(name)) for name, kind in SAMPLE_FIELDS.items()]
    described += [_field(name, kind) for name, kind in _plain_fields(benchmark).items()]
    described += [
        _field(field_name(model.name), "Embedded:labels.Classification", LABEL_PARTS)
        for model in benchmark.models
    ]
    return {
        "_id": _object_id("dataset", benchmark.title),
        "name": benchmark.title,
        "version": VERSION,
        "media_type": "image",
        "persistent": False,
        "tags": ["imagenetd"],
        "info": {
            "keys": dict(benchmark.provenance.keys),
            "models": {m.name: {"role": m.role, "regime": m.regime} for m in benchmark.models},
            "num_images": dict(benchmark.provenance.num_images),
        },
        "default_classes": benchmark.categories,
        "sample_fields": described,
        "frame_fields": [],
        "saved_views": _views(benchmark),
    }


def _views(benchmark: Benchmark) -> list[dict[str, object]]:
    """Return the saved views that hold at least one image."""
    targets = [model for model in benchmark.models if model.role == "target"]
    views: dict[str, tuple[Mapping[str, object], bool]] = {}
    for name in ("mined", "accepted", "easy"):
        views[name] = ({"tags": name}, bool(benchmark.images[f"is_{name}"].any()))
    for kind in NUISANCE_KINDS:
        views[f"kind {kind}"] = ({"kind": str(kind)}, bool((benchmark.images["kind"] == kind).any()))
    for model in targets:
        views[f"{model.name} fails"] = ({"tags": f"{model.name} wrong"}, bool(model.wrong.any()))
    everyone = {"tags": {"$all": [f"{model.name} wrong" for model in targets]}}
    wrong = np.stack([model.wrong for model in targets]).all(axis=0) if targets else np.zeros(0, bool)
    views["every target fails"] = (everyone, bool(wrong.any()) and len(targets) > 1)
    return [_view(benchmark, name, match) for name, (match, holds) in views.items() if holds]


def _view(benchmark: Benchmark, name: str, match: Mapping[str, object]) -> dict[str, object]:
    stage = {"_cls": "fiftyone.core.stages.Match", "kwargs": [["filter", match]]}
    return {
        "_id": _object_id("view", benchmark.title, name),
        "name": name,
        "slug": name.replace(" ", "-").replace("_", "-"),
        "view_stages": [json.dumps(stage)],
    }
