"""The weights that a run lacks, told all at once and before any work."""

from collections.abc import Sequence

from imagenetd.errors import MissingFilesError
from imagenetd.images.generators.generator import Generator
from imagenetd.models.classifier import Classifier
from imagenetd.records import MissingFile


def require_files(generator: Generator | None, classifiers: Sequence[tuple[Classifier, str]]) -> None:
    """Raise MissingFilesError with every weight file that is neither here nor within reach.

    A library that takes long to read is asked only when all that is known without it is there.

    Args:
        generator: None for a dataset.
        classifiers: Each with its place in the config.
    """
    slow = {option: library for model, option in classifiers if (library := model.library_asked())}
    missing = list(generator.missing_files("generator")) if generator else []
    for model, option in classifiers:
        if option not in slow:
            missing += model.missing_files(option)
    _refuse(missing, unseen=slow)
    _refuse([file for model, option in classifiers if option in slow for file in model.missing_files(option)])


def _refuse(found: Sequence[MissingFile], unseen: dict[str, str] | None = None) -> None:
    if not found:
        return
    missing = list({(file.file, file.source): file for file in found}.values())
    total = sum(file.size_mb or 0 for file in missing)
    lines = [
        f"  {file.file}  {f'{file.size_mb:,.0f} MB' if file.size_mb else 'size unknown'}  from {file.source}; "
        f"local copy: {file.option}"
        for file in missing
    ]
    lines += [
        f"  Not looked for yet: the weights of {option}, whose place only {library} knows."
        for option, library in (unseen or {}).items()
    ]
    raise MissingFilesError(
        f"{len(missing)} files (about {total:,.0f} MB) are neither on this machine nor within reach. Connect to the "
        "hub, or name local copies with the options shown. Nothing was started.\n" + "\n".join(lines),
        missing,
    )
