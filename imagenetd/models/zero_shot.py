"""What a zero-shot head is made of: its templates, and the place where a finished head is kept."""

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from imagenetd import ASSETS_DIR
from imagenetd.errors import ConfigError, DamagedError
from imagenetd.records import Identity
from imagenetd.store.folders import content_key, read_sealed_bytes, write_sealed_bytes

if TYPE_CHECKING:
    from torch import Tensor

REFERENCE_TEMPLATE = "A photo of a {category}"
"""The one prompt of ImageNet-D's public evaluation: capital A, always "a", no full stop."""

TEMPLATES_DIR = ASSETS_DIR / "templates"


def read_templates(spec: Sequence[str] | str | None, *, name: str) -> tuple[str, ...]:
    """Return sentences with `{category}`; ConfigError for one without.

    Args:
        spec: The sentences themselves, a text file with one a line (`#` begins a comment), the name of a file that
            imagenetd ships (`ensemble_v1`), or None for the reference's one sentence.
        name: Of the model, for messages.
    """
    templates = _from_file(spec, name) if isinstance(spec, str) else tuple(spec or (REFERENCE_TEMPLATE,))
    for template in templates:
        if "{category}" not in template:
            raise ConfigError(f"{name}: the template {template!r} has no {{category}} in it.")
    return templates


def _from_file(spec: str, name: str) -> tuple[str, ...]:
    shipped = TEMPLATES_DIR / f"{spec}.txt"
    path = shipped if shipped.is_file() else Path(spec).expanduser()
    try:
        if path.exists() and not path.is_file():  # a pipe would wait for ever
            raise FileNotFoundError(path)
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        known = ", ".join(sorted(file.stem for file in TEMPLATES_DIR.glob("*.txt")))
        raise ConfigError(
            f"{name}: templates={spec} is neither a readable text file nor one of {known}. "
            "Write templates=[SENTENCE,...], or one sentence a line into a file."
        ) from error
    templates = tuple(line.strip() for line in lines if line.strip() and not line.startswith("#"))
    if not templates:
        raise ConfigError(f"{name}: templates={spec} holds no sentence. Write one a line.")
    return templates


def cached_head(folder: Path | None, identity: Identity, make: Callable[[], "Tensor"]) -> "Tensor":
    """Return the head that lies in `folder` under the key of `identity`; make and keep it when there is none.

    Args:
        folder: Of all heads; None keeps nothing.
        identity: Plain values: weights, tokenizer and prompts, which are all that a head depends on.
        make: Encodes the prompts; "features classes".
    """
    if folder is None:
        return make()
    from safetensors.torch import load, save

    key = content_key({"head": identity})
    path = folder / f"{key}.safetensors"
    if path.is_file():
        with contextlib.suppress(DamagedError):  # the encoder makes it again
            return load(read_sealed_bytes(path, of=key))["head"]
    head = make().cpu().contiguous()
    write_sealed_bytes(path, save({"head": head}), of=key)
    return head
