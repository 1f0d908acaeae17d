"""The weights that a run lacks, told all at once and before any work."""

from collections.abc import Sequence

from imagenetd.errors import MissingFilesError
from imagenetd.images.generators.generator import Generator
from imagenetd.models.classifier import Classifier
from imagenetd.records import MissingFile


def require_files(generator: Generator | None, classifiers: Sequence[tuple[Classifier, str]]) -> None:
    """Raise MissingFilesError with every weight file that is neither here nor within reach."""
    missing: list[MissingFile] = list(generator.missing_files("generator") if generator else ())
    for classifier, option in classifiers:
        missing += classifier.missing_files(option)
    if not missing:
        return
    missing = list({(file.file, file.source): file for file in missing}.values())
    total = sum(file.size_mb or 0 for file in missing)
    lines = [
        f"  {file.file}  {f'{file.size_mb:,.0f} MB' if file.size_mb else 'size unknown'}  from {file.source}; "
        f"local copy: {file.option}"
        for file in missing
    ]
    raise MissingFilesError(
        f"{len(missing)} files (about {total:,.0f} MB) are neither on this machine nor within reach. Connect to the "
        "hub, or name local copies with the options shown. Nothing was started.\n" + "\n".join(lines),
        missing,
    )
