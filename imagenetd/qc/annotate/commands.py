"""The command line of `python -m imagenetd.qc.annotate`."""

import argparse
import sys
from collections.abc import Sequence

from imagenetd.errors import UserError
from imagenetd.qc.annotate.page_commands import add_page_commands
from imagenetd.qc.annotate.subcommand import EPILOG
from imagenetd.qc.annotate.transfer_commands import add_transfer_commands
from imagenetd.qc.annotate.turk.turk_commands import add_turk_commands
from imagenetd.store.console import complain

HEADER = "People judge the images of a run that waits for votes: on a page, a form, Label Studio or Mechanical Turk."


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; a user's mistake is one line and exit code 1."""
    given = parse(list(sys.argv[1:] if arguments is None else arguments))
    try:
        given.act(given)
    except UserError as error:
        complain(error)
        raise SystemExit(1) from None
    except OSError as error:  # a folder that cannot be read, a disk that fails: said by the system
        complain(UserError(f"{error.filename or 'the disk'}: {error.strerror or error}."))
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def parse(words: list[str]) -> argparse.Namespace:
    """Return what the words ask for; a folder without a command is served."""
    parser = argparse.ArgumentParser("python -m imagenetd.qc.annotate", description=HEADER, epilog=EPILOG)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for add in (add_page_commands, add_transfer_commands, add_turk_commands):
        add(commands)
    if words and not words[0].startswith("-") and words[0] not in commands.choices:
        words = ["serve", *words]
    return parser.parse_args(words)
