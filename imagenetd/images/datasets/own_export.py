"""What an export of this package tells beside its images, where the layout is that of the release."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from imagenetd.errors import DataError
from imagenetd.images.datasets.dataset import DOCS, Entry
from imagenetd.store.delimited import read_delimited

IMAGES_FILE = "images.csv"
"""Beside the folders of the kinds; the release has no such file."""
COLUMNS = ("file", "category", "kind", "nuisance", "prompt")


@dataclass(frozen=True, slots=True)
class Told:
    """What `images.csv` says of one image."""

    category: str
    kind: str
    nuisance: str
    """Raw name in its vocabulary."""
    prompt: str


@dataclass(frozen=True, slots=True)
class OwnExport:
    """The rows of `images.csv` by file; none for the release and for a folder whose `images.csv` was taken away."""

    root: str
    rows: dict[str, Told] = field(default_factory=dict)

    def told(self, file: str, category: str, kind: str) -> tuple[str, str]:
        """Return nuisance and prompt of an image, empty for one that is not listed.

        Raises:
            DataError: Where `images.csv` says another category or kind than the folder.
        """
        row = self.rows.get(file)
        if row is None:
            return "", ""
        if (row.category, row.kind) != (category, kind):
            raise DataError(
                f"{self.root}/{IMAGES_FILE} calls {file} {row.kind}/{row.category}. Export the images again, or take "
                f"{IMAGES_FILE} away to evaluate the folders without nuisances."
            )
        return row.nuisance, row.prompt

    def refuse_missing(self, present: set[str], kinds: Sequence[str]) -> None:
        """Raise DataError for listed images of some kinds whose files are not there."""
        listed = [file for file, row in self.rows.items() if row.kind in kinds]
        missing = [file for file in listed if file not in present]
        if missing:
            raise DataError(
                f"data.root={self.root} lacks {len(missing):,} of the {len(listed):,} images of its {IMAGES_FILE}, "
                f"e.g. {missing[0]}. Copy the export again, or evaluate what is there with "
                f"data.check_counts=false; {DOCS}"
            )

    def note(self, entries: Sequence[Entry], released: int) -> str:
        """Return how the images differ from the release, in words; empty where their number is the same.

        Args:
            entries: Images that are evaluated.
            released: Images of the release, of the same kinds.
        """
        named = sum(bool(entry.nuisance) for entry in entries)
        if named:
            return f"an export with the nuisances of {named:,} images; the release has {released:,}"
        return f"{len(entries):,} images; the release has {released:,}" if len(entries) != released else ""


def read_own_export(root: Path) -> OwnExport:
    """Return what `images.csv` tells; another file of this name, without most columns of an export, tells nothing."""
    path = root / IMAGES_FILE
    if not path.is_file():
        return OwnExport(str(root))
    table = read_delimited(path, title=str(path), needed=("file",), optional=COLUMNS, may_be_empty=True)
    lacking = [name for name in COLUMNS if name not in table.columns]
    if len(lacking) > 2:
        return OwnExport(str(root))
    if lacking:
        raise DataError(
            f"{path} lacks the columns {', '.join(lacking)} of an export. Export the images again, or take "
            f"{IMAGES_FILE} away to evaluate the folders without nuisances."
        )
    table.refuse_repeated("file")
    rows = {
        row.text("file"): Told(
            row.text("category"), row.text("kind"), row.text("nuisance", default=""), row.raw("prompt")
        )
        for row in table.rows
    }
    return OwnExport(str(root), rows)
