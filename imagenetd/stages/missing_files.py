"""The weights that a run lacks, told all at once and before any work."""

from collections.abc import Sequence

from imagenetd.errors import MissingFilesError
from imagenetd.images.generators.generator import Generator
from imagenetd.models.classifier import Classifier
from imagenetd.records import MissingFile
from imagenetd.stages.choices import ModelSpec


def require_files(generator: Generator | None, models: Sequence[tuple[ModelSpec, Classifier]]) -> None:
    """Raise MissingFilesError with every weight file that is neither here nor within reach.

    A library that takes long to read is asked only when all that is known without it is there.

    Args:
        generator: None for a dataset.
        models: With their places in the config.
    """
    slow = {spec.option: library for spec, model in models if (library := model.library_asked())}
    missing = list(generator.missing_files("generator")) if generator else []
    for spec, model in models:
        if spec.option not in slow:
            missing += model.missing_files(spec.option)
    _refuse(missing, unseen=slow)
    asked = [model.missing_files(spec.option) for spec, model in models if spec.option in slow]
    _refuse([file for files in asked for file in files])


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
