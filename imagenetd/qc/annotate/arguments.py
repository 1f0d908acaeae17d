"""What the words and numbers of a command, or of a votes folder's options, may be; anything else is one line."""

import argparse
import math
from collections.abc import Callable
from pathlib import Path

from imagenetd.qc.page_options import is_web_address

MAX_DAYS = 3_650.0
MAX_TASKS = 100_000


def number(*, above: float = -math.inf, least: float = -math.inf, most: float) -> Callable[[str], float]:
    """Return a reader of finite numbers in a range, for `type` of an argument."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (above < value <= most and value >= least):
            start = f"above {above:g}" if above > -math.inf else f"{least:g}"
            raise argparse.ArgumentTypeError(f"{text!r} is no number from {start} to {most:g}")
        return value

    return read


def whole(*, least: int, most: int) -> Callable[[str], int]:
    """Return a reader of whole numbers in a range, for `type` of an argument."""

    def read(text: str) -> int:
        if not text.isascii() or not text.isdigit() or len(text) > 12 or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number from {least} to {most}")
        return int(text)

    return read


def path(text: str) -> Path:
    """Return a path; an empty one would be the working folder, and is refused."""
    if not text.strip() or "\0" in text:
        raise argparse.ArgumentTypeError(f"{text!r} is no path")
    return Path(text)


def word(text: str) -> str:
    """Return a text that is not empty and has no blanks or control characters."""
    if not text or not text.isprintable() or any(character.isspace() for character in text):
        raise argparse.ArgumentTypeError(f"{text!r} is empty or holds blanks")
    return text


def web_address(text: str) -> str:
    """Return an address that begins with http:// or https:// and names a host."""
    if not is_web_address(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no address such as https://pictures.example.org")
    return text


def picture_address(text: str) -> str:
    """Return an address for Label Studio: of the web, or a path of its own server that begins with a slash."""
    return text if text.startswith("/") and text.isprintable() and " " not in text else web_address(text)
