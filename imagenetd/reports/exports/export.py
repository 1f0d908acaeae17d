"""What every export can do: say which set it takes, and write it into a folder."""

import abc
from pathlib import Path
from typing import Any

from imagenetd.config.schema import build
from imagenetd.errors import ConfigError, UserError
from imagenetd.reports.exports.benchmark import Benchmark
from imagenetd.store.folders import explained

SETS = ("accepted", "mined", "easy", "not_mined", "pool", "pool_accepted")
EMBEDDED_LICENCE = "Apache-2.0"
"""Of the images of this package's own generators."""
UNKNOWN = "unknown"


class Export(abc.ABC):
    """Writes one set of images in one format.

    Args:
        set: Which images: `accepted`, `mined`, `easy`, `not_mined`, `pool` or `pool_accepted`.
        to: Folder; null: exports/<format>-<key> in the run folder.
        licence: Of the images, a name or an address; null: that of the embedded generators, else `unknown`.
    """

    def __init__(self, *, set: str, to: str | None, licence: str | None) -> None:
        if set not in SETS:
            raise ConfigError(
                f"{type(self).__name__}.set is {set}, but only {', '.join(SETS)} are known. Choose one of them."
            )
        self.set, self.to, self.licence = set, to, licence

    @abc.abstractmethod
    def write(self, benchmark: Benchmark, folder: Path) -> str:
        """Write everything into `folder` and return, in one line, how it is read."""

    def licence_of(self, benchmark: Benchmark) -> str:
        """Return the licence that stands in the export."""
        return self.licence or (EMBEDDED_LICENCE if benchmark.provenance.embedded else UNKNOWN)


def put(path: Path, data: bytes) -> None:
    """Write a file. It needs no fsync: an export without its `stage.json` is written again."""
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def needs(package: str, *, format_name: str) -> UserError:
    """Return the error for a library that is not installed."""
    return UserError(
        f"export={format_name} needs the package {package}, which is not installed: pip install imagenetd[exports]."
    )


def build_exports(spec: Any) -> dict[str, "Export"]:
    """Build the formats that `export` names; ConfigError for an option that a format does not have."""
    if not isinstance(spec, dict) or not spec:
        raise ConfigError(f"export={spec!r} names no format. Choose some, e.g. export=[folder,fiftyone].")
    made = {name: build(entry, option=f"export.{name}") for name, entry in spec.items()}
    for name, export in made.items():
        if not isinstance(export, Export):
            raise ConfigError(f"export.{name}._target_ gives a {type(export).__name__}, not an Export.")
    return made
