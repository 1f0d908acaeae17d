"""Where a run speaks: the terminal (rich) and the run's log file."""

import logging
import sys
from collections.abc import Iterable
from typing import Any, NoReturn

from rich import box
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from imagenetd.errors import MissingFilesError, UserError
from imagenetd.store.escaping import UNSEEN, for_terminal

LOG = logging.getLogger("imagenetd")
UNKNOWN = "\N{REPLACEMENT CHARACTER}"


class PlainConsole(Console):
    """A console to which every text is a text: no markup, no codes of emoji, nothing that moves the cursor."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render, with a sign of the same width for each character that a terminal would obey."""
        if isinstance(renderable, Text) and UNSEEN.search(renderable.plain):
            renderable = renderable.copy()
            renderable.plain = UNSEEN.sub(
                lambda found: "\n" if found[0] == "\n" else UNKNOWN, renderable.plain
            )
        return super().render(renderable, options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Make a Text of a plain string, as of a cell or a title."""
        return super().render_str(
            for_terminal(text, keeps_lines=True), **(options | {"markup": False, "emoji": False})
        )


def console() -> Console:
    """Return a console on the present standard output; 120 columns where there is no terminal."""
    terminal = PlainConsole(markup=False, emoji=False)
    return terminal if terminal.is_terminal else PlainConsole(width=120, markup=False, emoji=False)


def say(line: str, *, style: str = "") -> None:
    """Print one line, unwrapped and without markup, and write it to the log file."""
    console().print(Text(for_terminal(line), style=style), soft_wrap=True)
    LOG.info(for_terminal(line))


def cell(text: object, *, style: str = "") -> Text:
    """Return a text of others, such as a name, for a line or a cell of a table on any console."""
    return Text(for_terminal(text), style=style)


def new_table(title: str, **options: Any) -> Table:
    """Return an empty table as all of ours look: a bold title on the left, one line below the heading, no frame."""
    heading = Text("\n") + cell(title, style="bold")
    look: dict[str, Any] = {"title_justify": "left", "box": box.SIMPLE_HEAD, "show_edge": False}
    return Table(title=heading, padding=(0, 1, 0, 0), **(look | options))


def complain(error: UserError) -> None:
    """Print a user's mistake on standard error: one line, and a list where files are missing."""
    print(f"error: {for_terminal(error, keeps_lines=isinstance(error, MissingFilesError))}", file=sys.stderr)


def fail(error: UserError) -> NoReturn:
    """Print a user's error on standard error and leave with code 1."""
    complain(error)
    raise SystemExit(1)
