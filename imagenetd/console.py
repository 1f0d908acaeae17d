"""Where a run speaks: the terminal (rich) and the run's log file."""

import logging

from rich.console import Console
from rich.text import Text

LOG = logging.getLogger("imagenetd")


def console() -> Console:
    """Return a console on the present standard output; 120 columns where there is no terminal."""
    terminal = Console()
    return terminal if terminal.is_terminal else Console(width=120)


def say(line: str, *, style: str = "") -> None:
    """Print one line, unwrapped and without markup, and write it to the log file."""
    console().print(Text(line, style=style), soft_wrap=True)
    LOG.info(line)
