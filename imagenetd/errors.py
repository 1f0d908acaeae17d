"""The mistakes that a user can mend; `run.py` shows them as one line and exits with code 1."""

import difflib
from collections.abc import Iterable, Sequence


class UserError(Exception):
    """A mistake the user can mend. The message says what was asked, what was found, what to do."""


class ConfigError(UserError):
    """An option is missing, misspelt, of the wrong type, or contradicts another one."""


class VocabularyError(UserError):
    """A category or nuisance is unknown, repeated, of two kinds, or there is none at all."""


class DataError(UserError):
    """A dataset's folder, labels or images are not what they should be."""


class ModelError(UserError):
    """A model has no weights, weights of another shape, or gives logits that cannot be used."""


class StoreError(UserError):
    """A file of a run is damaged, belongs to another run, or cannot be written."""


class DamagedError(StoreError):
    """A file of a run does not hold what was written into it, or is of another model, pool or stage."""


class WorkerError(UserError):
    """A process of the run failed, was lost, or never came."""


class MissingFilesError(UserError):
    """Weights that are neither here nor within reach; the message lists every one of them."""

    def __init__(self, message: str, files: Sequence[object] = ()) -> None:
        super().__init__(message)
        self.files = tuple(files)


def nearest(name: str, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """Return the known name that was perhaps meant, None where none is spelt like it.

    >>> nearest("surrogate", ["surrogates", "target"])
    'surrogates'
    """
    return next(iter(difflib.get_close_matches(name, known, n=1, cutoff=cutoff)), None)
