"""How a votes folder wants to be served; written by the run that waits for the votes, read by the commands."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from imagenetd.annotate_config import PageConfig
from imagenetd.errors import ConfigError, StoreError
from imagenetd.private import write_private_json

OPTIONS_FILE = "options.json"
Section = TypeVar("Section")


def write_options(folder: Path, sections: Mapping[str, Any]) -> None:
    """Write the options of the ways to vote, e.g. `{"page": PageConfig(...)}`, beside the tasks."""
    content = {name: dataclasses.asdict(section) for name, section in sections.items()}
    write_private_json(folder / OPTIONS_FILE, content)


def read_options(folder: Path, name: str, kind: type[Section], **changes: Any) -> Section:
    """Return one section of the options, with what the command line says put in.

    Args:
        folder: The votes folder.
        name: `page` or `mturk`.
        kind: Its dataclass.
        changes: Fields that the command line sets; None leaves the file's value.
    """
    path = folder / OPTIONS_FILE
    try:
        values = json.loads(path.read_text(encoding="utf-8"))[name]
        section = kind(**values | {key: value for key, value in changes.items() if value is not None})
    except FileNotFoundError as error:
        raise ConfigError(
            f"{folder} is no votes folder: it has no {OPTIONS_FILE}. Name the folder that the run printed."
        ) from error
    except (ValueError, TypeError, KeyError) as error:
        raise StoreError(
            f"{path} is damaged or of another version ({error!r}). Start the run again: it is written anew."
        ) from error
    return section


def require_usable(options: PageConfig) -> PageConfig:
    """Return the options, or raise ConfigError when a page cannot be served with them."""
    for name in ("timeout_minutes", "link_days", "session_hours", "max_request_kb"):
        if getattr(options, name) <= 0:
            raise ConfigError(
                f"qc.page.{name}={getattr(options, name)} must be above 0. Set qc.page.{name}=1 or more."
            )
    if not 0 <= options.port <= 65_535:
        raise ConfigError(
            f"qc.page.port={options.port} is no port. Choose 1024 to 65535, or 0 for a free one."
        )
    if options.public_url is not None and not options.public_url.startswith(("http://", "https://")):
        raise ConfigError(
            f"qc.page.public_url={options.public_url} is no address. Write it as https://pictures.example.org."
        )
    if options.certificate is not None:
        for name in ("certificate", "private_key"):
            path = getattr(options, name)
            if path is None or not Path(path).is_file():
                raise ConfigError(
                    f"qc.page.{name}={path} is no file. To serve https, give qc.page.certificate and "
                    "qc.page.private_key as PEM files."
                )
    return options
