"""The commands about Mechanical Turk: estimate, export, publish, poll and review."""

import argparse
import contextlib
import sys
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Any

from imagenetd.config.page import MturkConfig
from imagenetd.errors import ConfigError
from imagenetd.qc.annotate.arguments import path
from imagenetd.qc.annotate.subcommand import Act, add_command, room_of
from imagenetd.qc.annotate.turk.bill import Bill
from imagenetd.qc.annotate.turk.campaign import Campaign
from imagenetd.qc.annotate.turk.pages import export_forms, export_pictures, require_address
from imagenetd.qc.annotate.turk.publish import bill_of, planned_steps, publish
from imagenetd.qc.annotate.turk.review import poll, review
from imagenetd.qc.annotate.turk.service import SUBMIT_TO, Service, open_service
from imagenetd.qc.annotate.turk.state import read_state
from imagenetd.qc.page_options import read_options


def add_turk_commands(commands: Any) -> None:
    """Add `mturk ACTION FOLDER` to the parser."""
    does = "publish tasks on Amazon Mechanical Turk, bring the answers in, approve them"
    actions = commands.add_parser("mturk", help=does, description=does).add_subparsers(
        required=True, metavar="ACTION"
    )
    _action(actions, "estimate", _estimate, "print what the missing responses cost; asks nobody")
    one = _action(actions, "export", _export, "write the pictures, or whole forms, to be uploaded")
    one.add_argument("--forms", action="store_true", help="forms for external questions; else pictures")
    one.add_argument("--out", type=path, help="where they are written; default: FOLDER/mturk/upload")
    for name, act, what in (
        ("publish", _publish, "publish what is missing, each task once"),
        ("review", _review, "bring answers in, approve what passes the sentinels, reject the rest"),
    ):
        one = _action(actions, name, act, what)
        one.add_argument("--confirm-usd", metavar="AMOUNT", help="agree to a bill up to this amount")
    _action(actions, "poll", _poll, "bring answers in; approves and rejects nothing")


def _action(actions: Any, name: str, act: Act, does: str) -> argparse.ArgumentParser:
    parser = add_command(actions, name, act, does)
    parser.add_argument("--production", action="store_true", help="real workers and money; else the sandbox")
    return parser


@contextlib.contextmanager
def _campaign(given: argparse.Namespace, *, needs_service: bool = True) -> Iterator[Campaign]:
    options = read_options(given.folder, "mturk", MturkConfig)
    client = open_service(options, is_production=given.production) if needs_service else None
    service = client or Service(None, given.production)
    with contextlib.closing(room_of(given)) as room:
        state = read_state(given.folder / "mturk" / f"{service.name}.json")
        yield Campaign(room, options, service, state, print)


def _estimate(given: argparse.Namespace) -> None:
    with _campaign(given, needs_service=False) as campaign:
        print(bill_of(campaign, planned_steps(campaign)))


def _export(given: argparse.Namespace) -> None:
    folder = given.out or given.folder / "mturk" / "upload"
    with _campaign(given, needs_service=False) as campaign:
        if given.forms:
            count = export_forms(campaign.room, folder, submit_to=SUBMIT_TO[campaign.service.name])
            print(f"{count} forms -> {folder}; upload them and set qc.mturk.forms_url=https://...")
        else:
            count = export_pictures(campaign.room, folder)
            print(f"{count} pictures -> {folder}; upload them and set qc.mturk.images_url=https://...")


def _publish(given: argparse.Namespace) -> None:
    with _campaign(given) as campaign:
        require_address(campaign.options)
        count = publish(campaign, agreed=lambda bill: _agrees(given, bill))
        print(f"{count} tasks published or raised in the {campaign.service.name}")


def _poll(given: argparse.Namespace) -> None:
    with _campaign(given) as campaign:
        _show_poll(campaign)


def _review(given: argparse.Namespace) -> None:
    with _campaign(given) as campaign:
        _show_poll(campaign)
        for verdict in review(campaign, agreed=lambda bill: _agrees(given, bill)):
            if verdict.failed:
                print(
                    f"  {verdict.assignment}: {'rejected' if verdict.is_rejected else 'paid'}, {verdict.failed}"
                )


def _show_poll(campaign: Campaign) -> None:
    found = poll(campaign)
    missing = campaign.room.votes.progress().num_missing
    print(f"{found.num_new} new assignments, {found.num_known} known, {missing} responses missing")
    for problem in found.problems:
        print(f"  to be looked at by hand: {problem}")


def _agrees(given: argparse.Namespace, bill: Bill) -> bool:
    """Tell whether the user agrees to a bill; in the sandbox nothing is paid."""
    if not given.production:
        print("sandbox: nothing is paid")
        return True
    if given.confirm_usd is not None:
        if _amount(given.confirm_usd) < bill.total_usd:
            raise ConfigError(
                f"The bill is {bill.total_usd:.2f} USD, above --confirm-usd {given.confirm_usd}. Nothing was done."
            )
        return True
    if not sys.stdin.isatty():
        raise ConfigError(
            f"The bill is {bill.total_usd:.2f} USD and nobody agreed to it. Add --confirm-usd {bill.total_usd:.2f}"
        )
    said = input(f"Real money. Type {bill.total_usd:.2f} to go on: ")
    return said.strip() == f"{bill.total_usd:.2f}"


def _amount(text: str) -> Decimal:
    try:
        amount = Decimal(text)
    except InvalidOperation as error:
        raise ConfigError(f"--confirm-usd {text} is no amount. Write it as 123.45") from error
    if not amount.is_finite() or amount < 0:
        raise ConfigError(f"--confirm-usd {text} is no amount. Write it as 123.45")
    return amount
