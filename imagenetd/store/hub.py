"""Files on the Hugging Face hub: which are cached here, which can be fetched, which are out of reach."""

import functools
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imagenetd import ASSETS_DIR
from imagenetd.errors import ModelError
from imagenetd.records import MissingFile

PACKAGE_PREFIX = "package:"
"""Marks a path inside the imagenetd package, for the weights that it ships."""

ASK_TIMEOUT_S = 3.0
"""How long the first question to the hub may take; when it takes longer, the hub is not asked again."""

_unreachable = threading.Event()


@dataclass(frozen=True, slots=True)
class HubFile:
    """One file of a repository on the hub."""

    repo: str
    names: tuple[str, ...]
    """File names that would do, best first."""
    revision: str | None = None
    """Branch, tag or commit; None: `main`."""

    def spelt(self) -> str:
        """Return the file's place in one word, which does not change when the file is downloaded."""
        return f"hub:{self.repo}@{self.revision or 'main'}"


def resolve_local(spec: str) -> Path | None:
    """Return the path that `spec` names, or None when it is not on this machine and may be a hub id.

    Args:
        spec: A path relative to the current directory, `package:PATH` inside imagenetd, or a hub id.
    """
    if spec.startswith(PACKAGE_PREFIX):
        path = ASSETS_DIR.parent / spec.removeprefix(PACKAGE_PREFIX)
        if not path.exists():
            raise ModelError(
                f"{spec} is part of imagenetd, but {path} does not exist. "
                "Install imagenetd again, or name another model."
            )
        return path
    path = Path(spec).expanduser()
    if path.exists():
        return path
    if spec.startswith((".", "/", "~")):
        raise ModelError(f"{spec} does not exist. Correct the path: it is read relative to {Path.cwd()}.")
    return None


def refuse_remote_code() -> None:
    """Make transformers refuse code that comes with a model, and never ask on the terminal whether to run it.

    `trust_remote_code=False` says the same wherever we call it; open_clip and diffusers call it, too, and pass nothing
    on, and then it asks. Without time for an answer it does not.
    """
    from transformers import dynamic_module_utils

    dynamic_module_utils.TIME_OUT_REMOTE_CODE = 0


def cached_path(file: HubFile) -> Path | None:
    """Return the file in the local cache of the hub (`HF_HOME` and its kin), without asking the hub."""
    from huggingface_hub import try_to_load_from_cache

    for name in file.names:
        found = try_to_load_from_cache(file.repo, name, revision=file.revision)
        if isinstance(found, str):
            return Path(found)
    return None


def missing_file(file: HubFile, *, size_mb: float | None, option: str) -> MissingFile | None:
    """Return the file if it is neither cached here nor on a hub that answers.

    Args:
        file: What is needed.
        size_mb: Stands in the message when the hub cannot be asked.
        option: Where a local copy can be named.
    """
    if cached_path(file) is not None:
        return None
    sizes = _sizes_mb(file.repo, file.revision)
    if sizes is not None and any(name in sizes for name in file.names):
        return None
    trouble = "which cannot be reached" if sizes is None else "which has no such file"
    source = f"{file.repo} on the Hugging Face hub, {trouble}"
    return MissingFile(file.names[0], size_mb, option, source)


def missing_pipeline_files(
    repo: str, *, revision: str | None, files_mb: Mapping[str, float], option: str
) -> list[MissingFile]:
    """Return the files of a diffusers pipeline that are neither cached here nor on a hub that answers.

    Args:
        repo: Id on the hub.
        revision: Branch, tag or commit.
        files_mb: File -> size in MB of what matters; the pipeline's index is always looked for.
        option: Where a local copy can be named.
    """
    wanted: dict[str, float | None] = {"model_index.json": None, **files_mb}
    found = [
        missing_file(HubFile(repo, (name,), revision), size_mb=size, option=option)
        for name, size in wanted.items()
    ]
    return [file for file in found if file is not None]


def fetch(file: HubFile, *, option: str) -> Path:
    """Return the local path of a file, downloading it when it is not cached."""
    cached = cached_path(file)
    if cached is not None:
        return cached
    from huggingface_hub import hf_hub_download

    sizes = _sizes_mb(file.repo, file.revision) or {}
    name = next((name for name in file.names if name in sizes), file.names[0])
    try:
        return Path(hf_hub_download(file.repo, name, revision=file.revision))
    except Exception as error:  # connection, disk, rights, unknown repository: one family of classes for each
        reason = str(error).strip().splitlines()[0]
        raise ModelError(
            f"{name} of {file.repo} cannot be downloaded from the Hugging Face hub: {reason} "
            f"Name a local copy with {option}."
        ) from error


@functools.cache
def _sizes_mb(repo: str, revision: str | None) -> dict[str, float | None] | None:
    """Return name -> size of a repository's files; {} for no such repository, None without connection.

    The timeout of a request does not cover the look-up of the host name, hence the thread.
    """
    from huggingface_hub.constants import HF_HUB_OFFLINE

    if HF_HUB_OFFLINE or _unreachable.is_set():
        return None
    answer: list[dict[str, float | None]] = []
    thread = threading.Thread(target=_ask, args=(repo, revision, answer), daemon=True)
    thread.start()
    thread.join(ASK_TIMEOUT_S)
    if not answer:
        _unreachable.set()
        return None
    return answer[0]


def _ask(repo: str, revision: str | None, answer: list[dict[str, float | None]]) -> None:
    """Append the sizes of the repository's files to `answer`, or nothing when the hub does not answer."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    try:
        info: Any = HfApi().model_info(repo, revision=revision, timeout=ASK_TIMEOUT_S, files_metadata=True)
    except (GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError):
        answer.append({})
    except Exception:  # every other failure, whatever its class, means that nothing can be fetched now
        return
    else:
        answer.append({file.rfilename: file.size and file.size / 1e6 for file in info.siblings or ()})
