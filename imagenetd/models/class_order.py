"""Which ImageNet class each output of a model stands for, where that is not the usual order."""

from collections.abc import Sequence
from pathlib import Path

from imagenetd.errors import ConfigError
from imagenetd.words.imagenet import NUM_CLASSES, ids_by_wnid

IMAGENET = "imagenet"


def read_class_order(classes: str | Sequence[str], *, name: str) -> tuple[int, ...] | None:
    """Return the ImageNet id of each output, or None where the outputs are in the usual order or are categories.

    Args:
        classes: `imagenet`, a list of category keys, or a text file with one WordNet id or class number a line.
        name: Of the model, for messages.

    Raises:
        ConfigError: For a file that does not name each of the 1,000 classes once.
    """
    if not isinstance(classes, str) or classes == IMAGENET:
        return None
    path = Path(classes).expanduser()
    try:
        words = path.read_text(encoding="utf-8-sig").split()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{name}: classes={classes} is neither {IMAGENET}, nor a list of categories, nor a readable text file "
            "with one WordNet id or class number a line."
        ) from error
    known = ids_by_wnid()
    ids = [known.get(word, int(word) if word.isdecimal() else -1) for word in words]
    if sorted(ids) != list(range(NUM_CLASSES)):
        unknown = [word for word, number in zip(words, ids, strict=True) if not 0 <= number < NUM_CLASSES]
        found = f"{unknown[0]!r}, which is none" if unknown else f"{len(set(ids))} different classes"
        raise ConfigError(
            f"{name}: {path} must name each of the {NUM_CLASSES:,} classes of ImageNet once, one a line; "
            f"it has {found}."
        )
    return tuple(ids)
