"""The commands that carry tasks out and answers in: form, labelstudio, import."""

import argparse
import contextlib
import json
import time
from pathlib import Path
from typing import Any

from imagenetd.errors import StoreError
from imagenetd.qc.annotate.arguments import MAX_TASKS, path, picture_address, whole
from imagenetd.qc.annotate.forms import import_result, write_forms
from imagenetd.qc.annotate.label_studio import export_tasks, import_export
from imagenetd.qc.annotate.reading import read_text
from imagenetd.qc.annotate.room import Room, Source, embedded
from imagenetd.qc.annotate.subcommand import add_command, page_options, room_of
from imagenetd.qc.annotate.tokens import require_worker_name
from imagenetd.qc.annotate.turk.results import TABLE_SUFFIXES, import_table

DAY_S = 86_400


def add_transfer_commands(commands: Any) -> None:
    """Add them to the parser."""
    one = add_command(commands, "form", _form, "write tasks as HTML files that need no server")
    one.add_argument("workers", nargs="+", metavar="NAME")
    one.add_argument(
        "--tasks",
        type=whole(least=1, most=MAX_TASKS),
        default=1,
        metavar="N",
        help="forms for each worker; default: 1",
    )
    one.add_argument("--out", type=path, help="where they are written; default: FOLDER/forms")
    one = add_command(commands, "labelstudio", _label_studio, "write the tasks for Label Studio")
    one.add_argument("--out", type=path, help="where they are written; default: FOLDER/labelstudio")
    one.add_argument(
        "--images-url",
        type=picture_address,
        help="where Label Studio finds the pictures; default: inside the file",
    )
    one = add_command(
        commands,
        "import",
        _import,
        "take in results of forms, Label Studio's JSON export or Mechanical Turk's CSV",
    )
    one.add_argument("files", nargs="+", type=path, metavar="FILE")


def _form(given: argparse.Namespace) -> None:
    names = [require_worker_name(name) for name in given.workers]
    options, folder = page_options(given), given.out or given.folder / "forms"
    until = time.time() + options.form_days * DAY_S
    with contextlib.closing(room_of(given)) as room:
        for name in names:
            written = write_forms(room, name, folder, num_tasks=given.tasks, until=until)
            for form in written:
                print(f"{name}: {form}")
            if not written:
                print(f"{name}: no task is left for this worker")
    print(f"results come back with  python -m imagenetd.qc.annotate import {given.folder} FILE ...")


def _label_studio(given: argparse.Namespace) -> None:
    folder = given.out or given.folder / "labelstudio"
    with contextlib.closing(room_of(given)) as room:
        source = embedded(room)
        if given.images_url:
            source = _served(room, folder / "pictures", given.images_url.rstrip("/"))
        count = export_tasks(room, folder, source)
    print(
        f"{count} pictures -> {folder}: tasks.json to import there, labeling_config.xml as labelling interface"
    )
    print(f"export as JSON, then  python -m imagenetd.qc.annotate import {given.folder} EXPORT.json")


def _served(room: Room, folder: Path, address: str) -> Source:
    """Return a source that writes each picture into a folder and names it below an address."""

    def source(task_id: str, position: int, name: str) -> str:
        room.write_picture(task_id, position, folder / f"{name}.png")
        return f"{address}/{name}.png"

    return source


def _import(given: argparse.Namespace) -> None:
    with contextlib.closing(room_of(given)) as room:
        for file in given.files:
            print(f"{file}: {_import_one(room, file)}")
        print(f"{room.votes.progress().num_missing} responses are missing")


def _import_one(room: Room, file: Path) -> str:
    """Take in one file, whichever kind it is; return what it held."""
    if file.suffix.lower() in TABLE_SUFFIXES:
        results = import_table(room, file)
        left = f"\n  {results.num_left_out} assignments were not submitted or are rejected: not counted"
        return f"{results.num_new} responses, {results.num_known} known already{left if results.num_left_out else ''}"
    try:
        is_list = isinstance(json.loads(read_text(file)), list)
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{file} is no JSON file ({error}). Ask for the file again.") from error
    if not is_list:
        return "1 response" if import_result(room, file) else "known already"
    found = import_export(room, file)
    left = "".join(
        f"\n  {worker} has left {missing} pictures of {task_id} open: not counted"
        for task_id, worker, missing in found.unfinished
    )
    return f"{found.num_new} responses, {found.num_known} known already{left}"
