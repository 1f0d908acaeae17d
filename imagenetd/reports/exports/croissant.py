"""Croissant metadata (the machine-readable card of ML data sets) beside the images in ImageNet-D's layout."""

import datetime
import hashlib
import json
import warnings
from pathlib import Path
from typing import Any

from imagenetd.errors import ConfigError
from imagenetd.reports.exports.benchmark import COLUMNS, Benchmark
from imagenetd.reports.exports.export import Export, needs, put
from imagenetd.reports.exports.folder import IMAGES_FILE, FolderExport

CITATION = (
    "Method: Zhang, Pan, Kim, Kweon, Mao. ImageNet-D: Benchmarking Neural Network Robustness on Diffusion "
    "Synthetic Object. CVPR 2024. arXiv:2403.18775."
)


class CroissantExport(Export):
    """Writes what `export=folder` writes, and `croissant.json`.

    Args:
        set: Which images.
        to: Folder; null: in the run folder.
        licence: Of the images; null: found out.
        url: Where the data set will live; Croissant asks for one.
        published: Date, as 2026-01-31.
    """

    def __init__(self, set: str, to: str | None, licence: str | None, url: str, published: str) -> None:
        super().__init__(set=set, to=to, licence=licence)
        self.url = url
        try:
            self.published = datetime.datetime.fromisoformat(published)
        except ValueError as error:
            raise ConfigError(
                f"export.croissant.published={published} is no date. Write it as 2026-01-31."
            ) from error

    def write(self, benchmark: Benchmark, folder: Path) -> str:
        """Write the files, then describe and validate them."""
        FolderExport(self.set, None, self.licence).write(benchmark, folder)
        put(folder / "croissant.json", json.dumps(self._describe(benchmark, folder), indent=1).encode())
        return "mlcroissant.Dataset('FOLDER/croissant.json').records('images')"

    def _describe(self, benchmark: Benchmark, folder: Path) -> dict[str, object]:
        try:
            import mlcroissant
        except ImportError as error:
            raise needs("mlcroissant", format_name="croissant") from error
        table = mlcroissant.FileObject(
            id=IMAGES_FILE,
            name=IMAGES_FILE,
            description="One row an image.",
            content_url=IMAGES_FILE,
            encoding_formats=["text/csv"],
            sha256=hashlib.sha256((folder / IMAGES_FILE).read_bytes()).hexdigest(),
        )
        pictures = mlcroissant.FileSet(
            id="pictures",
            name="pictures",
            description="The images, <kind>/<category>/<image_id>.png.",
            encoding_formats=["image/png"],
            includes=["*/*/*.png"],
        )
        metadata = mlcroissant.Metadata(
            name=benchmark.name,
            description=f"{benchmark.title}: synthetic images of everyday objects with one nuisance each.",
            license=[self.licence_of(benchmark)],
            url=self.url,
            cite_as=CITATION,
            date_published=self.published,
            version=benchmark.provenance.versions["imagenetd"],
            distribution=[table, pictures],
            record_sets=_record_sets(mlcroissant, benchmark),
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # rdflib's own
            return json.loads(json.dumps(metadata.to_json(), default=str))


def _record_sets(mlcroissant: Any, benchmark: Benchmark) -> list[Any]:
    kinds = {"int64": mlcroissant.DataType.INTEGER, "bool": mlcroissant.DataType.BOOL}
    fields = [
        mlcroissant.Field(
            id=f"images/{name}",
            name=name,
            description=meaning,
            data_types=[kinds.get(str(benchmark.images[name].dtype), mlcroissant.DataType.TEXT)],
            source=mlcroissant.Source(file_object=IMAGES_FILE, extract=mlcroissant.Extract(column=name)),
        )
        for name, meaning in COLUMNS.items()
    ]
    # A record joins a file with the row of the table that has its name without the suffix as image_id.
    stem = mlcroissant.Field(
        id="images/stem",
        name="stem",
        description="Name of the file without its suffix; the same as image_id.",
        data_types=[mlcroissant.DataType.TEXT],
        source=mlcroissant.Source(
            file_set="pictures",
            extract=mlcroissant.Extract(file_property=mlcroissant.FileProperty.filename),
            transforms=[mlcroissant.Transform(regex="^([0-9a-f]+)")],
        ),
        references=mlcroissant.Source(
            file_object=IMAGES_FILE, extract=mlcroissant.Extract(column="image_id")
        ),
    )
    picture = mlcroissant.Field(
        id="images/image",
        name="image",
        description="The image.",
        data_types=[mlcroissant.DataType.IMAGE_OBJECT],
        source=mlcroissant.Source(
            file_set="pictures", extract=mlcroissant.Extract(file_property=mlcroissant.FileProperty.content)
        ),
    )
    return [
        mlcroissant.RecordSet(
            id="images", name="images", description="One row an image.", fields=[stem, picture, *fields]
        )
    ]
