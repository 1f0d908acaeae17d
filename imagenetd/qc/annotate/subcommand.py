"""What all commands of `python -m imagenetd.qc.annotate` have in common."""

import argparse
from collections.abc import Callable
from typing import Any

from imagenetd.config.page import PageConfig
from imagenetd.qc.annotate.arguments import path
from imagenetd.qc.annotate.room import Room, open_room
from imagenetd.qc.page_options import read_options

Act = Callable[[argparse.Namespace], None]
EPILOG = (
    "FOLDER is the votes folder that a run with qc=local, form, labelstudio or mturk names when it waits."
)


def add_command(commands: Any, name: str, act: Act, does: str) -> argparse.ArgumentParser:
    """Add one command that works on a votes folder; return its parser for more arguments."""
    parser = commands.add_parser(name, help=does, description=does, epilog=EPILOG)
    parser.add_argument("folder", type=path, metavar="FOLDER")
    parser.set_defaults(act=act)
    return parser


def page_options(given: argparse.Namespace) -> PageConfig:
    """Return the page's options with what the command line says put in."""
    changes = {name: getattr(given, name, None) for name in ("host", "port", "public_url")}
    return read_options(given.folder, "page", PageConfig, **changes)


def room_of(given: argparse.Namespace) -> Room:
    """Open the votes folder of a command."""
    return open_room(given.folder, page_options(given))
