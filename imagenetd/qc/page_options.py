"""How a votes folder wants to be served; written by the run that waits for the votes, read by the commands."""

import dataclasses
import json
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from imagenetd.config.page import PageConfig
from imagenetd.config.ranges import check_fields
from imagenetd.errors import ConfigError, StoreError
from imagenetd.store.private import write_private_json

MAX_PORT = 65_535
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
        _require_types(section)
        check_fields(section, f"qc.{name}.")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ConfigError(
            f"{folder} is no votes folder: it has no {OPTIONS_FILE}. Name the folder that the run printed."
        ) from error
    except OSError as error:
        raise StoreError(f"{path} cannot be read ({error.strerror}).") from error
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise StoreError(
            f"{path} is damaged or of another version ({error!r}). Start the run again: it is written anew."
        ) from error
    return section


def _require_types(section: Any) -> None:
    """Raise TypeError when a field holds something else than its annotation says; a whole number is a number, too."""
    for name, annotation in typing.get_type_hints(type(section)).items():
        value, kind = getattr(section, name), typing.get_origin(annotation) or annotation
        kinds = typing.get_args(annotation) if kind in (types.UnionType, typing.Union) else (kind,)
        kinds = (*kinds, int) if float in kinds else kinds
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise TypeError(f"{name} holds {value!r}")


def require_usable(options: PageConfig) -> PageConfig:
    """Return the options, or raise ConfigError when a page cannot be served with them."""
    check_fields(options, "qc.page.")
    if not options.host or not options.host.isprintable() or " " in options.host:
        raise ConfigError(
            f"qc.page.host={options.host!r} is no address to listen on. Set qc.page.host=127.0.0.1: this machine alone."
        )
    if options.public_url is not None and not is_web_address(options.public_url):
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


def is_web_address(text: str) -> bool:
    """Tell whether a text is a whole http or https address.

    >>> [is_web_address(text) for text in ("https://a.example/x", "https://", "http://[", "a.example", "http://a b")]
    [True, False, False, False, False]
    """
    try:
        parts = urlsplit(text)
        has_host = bool(parts.hostname) and (parts.port is None or 0 < parts.port <= MAX_PORT)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and has_host and text.isprintable() and " " not in text
