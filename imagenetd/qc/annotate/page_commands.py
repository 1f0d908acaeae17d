"""The commands about the page: serve, invite, status, block and unblock."""

import argparse
import contextlib
import getpass
import re
from typing import Any

from imagenetd.errors import ConfigError
from imagenetd.qc.annotate.arguments import MAX_DAYS, number, web_address, whole, word
from imagenetd.qc.annotate.room import open_room
from imagenetd.qc.annotate.serve import address_of, invitation, serve
from imagenetd.qc.annotate.subcommand import add_command, page_options, room_of
from imagenetd.qc.annotate.tokens import require_worker_name
from imagenetd.qc.page_options import MAX_PORT


def add_page_commands(commands: Any) -> None:
    """Add them to the parser."""
    one = add_command(commands, "serve", _serve, "serve the page on this machine (the default command)")
    one.add_argument("--worker", action="append", help="print an invitation for this worker; default: you")
    one.add_argument("--host", type=word, help="address to listen on; default: qc.page.host")
    one.add_argument(
        "--port", type=whole(least=0, most=MAX_PORT), help="0: any free one; default: qc.page.port"
    )
    _add_url(one)
    one = add_command(commands, "invite", _invite, "print an invitation link for each worker")
    one.add_argument("workers", nargs="+", metavar="NAME")
    one.add_argument(
        "--days",
        type=number(above=0, most=MAX_DAYS),
        help="the link is good for so long; default: qc.page.link_days",
    )
    one.add_argument(
        "--port",
        type=whole(least=0, most=MAX_PORT),
        help="of the running server, when it is not qc.page.port",
    )
    _add_url(one)
    add_command(commands, "status", _status, "print how many responses are there and how many are missing")
    for name, does in (("block", "withdraw a worker's invitation"), ("unblock", "let a worker in again")):
        one = add_command(commands, name, _block, f"{does}; what was sent stays")
        one.add_argument("workers", nargs="+", metavar="NAME")
        one.set_defaults(is_blocked=name == "block")


def _add_url(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--public-url", type=web_address, help="how workers reach the page; default: qc.page.public_url"
    )


def _serve(given: argparse.Namespace) -> None:
    workers = tuple(require_worker_name(name) for name in given.worker or [_own_name()])
    serve(given.folder, page_options(given), workers=workers)


def _own_name() -> str:
    """Return the user's name in letters that a worker's name may have."""
    return re.sub(r"[^A-Za-z0-9]+", "", getpass.getuser())[:32] or "me"


def _invite(given: argparse.Namespace) -> None:
    options = page_options(given)
    if options.port == 0 and options.public_url is None:
        raise ConfigError(
            "qc.page.port=0 lets the server choose its port, so that a link cannot be made beforehand. "
            "Give the port that it printed: --port NUMBER"
        )
    names = [require_worker_name(name) for name in given.workers]
    days = options.link_days if given.days is None else given.days
    with contextlib.closing(open_room(given.folder, options)) as room:
        for name in names:
            print(f"{name}: {invitation(room, name, address_of(options), days=days)}")


def _status(given: argparse.Namespace) -> None:
    with contextlib.closing(room_of(given)) as room:
        progress, in_hand = room.votes.progress(), room.desk.num_in_hand()
        print(
            f"{len(room.task_set.tasks)} tasks, {progress.num_sent} responses, {progress.num_missing} missing"
        )
        for worker, is_blocked in room.workers.blocked().items():
            num_sent = len(room.votes.received_from(worker))
            print(
                f"  {worker}: {num_sent} sent, {in_hand[worker]} in hand{', blocked' if is_blocked else ''}"
            )


def _block(given: argparse.Namespace) -> None:
    with contextlib.closing(room_of(given)) as room:
        for name in given.workers:
            room.workers.block(require_worker_name(name), is_blocked=given.is_blocked)
            print(f"{name} is {'blocked' if given.is_blocked else 'let in again'}")
