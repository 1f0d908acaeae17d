"""The page of a task as Mechanical Turk shows it: sent whole with pictures elsewhere, or a form that lies elsewhere."""

from pathlib import Path

from imagenetd.config.page import MturkConfig
from imagenetd.errors import ConfigError
from imagenetd.qc.annotate.disguise import EXAMPLES
from imagenetd.qc.annotate.forms import WayBack, example_name, form_html, picture_name
from imagenetd.qc.annotate.room import Room, Source, embedded
from imagenetd.qc.annotate.turk.campaign import Campaign
from imagenetd.qc.annotate.turk.question import external_question, html_question
from imagenetd.qc.annotate.turk.service import SUBMIT_TO
from imagenetd.qc.tasks import Task
from imagenetd.store.folders import make_folder, write_text_atomic


def require_address(options: MturkConfig) -> MturkConfig:
    """Return the options, or raise ConfigError unless exactly one https address is given."""
    given = [address for address in (options.images_url, options.forms_url) if address]
    if len(given) != 1 or not given[0].startswith("https://"):
        raise ConfigError(
            "Workers must be able to load the pictures with https. Run `mturk export`, upload the folder, and give its "
            "address: qc.mturk.images_url=https://... for pictures, or qc.mturk.forms_url=https://... for whole forms."
        )
    return options


def question(campaign: Campaign, task: Task) -> str:
    """Return the question of a task."""
    options, room = require_address(campaign.options), campaign.room
    if options.forms_url:
        return external_question(f"{options.forms_url.rstrip('/')}/{form_name(room, task)}")
    folder = (options.images_url or "").rstrip("/")
    submit_to = SUBMIT_TO[campaign.service.name]

    def address(task_id: str, position: int, name: str) -> str:
        return f"{folder}/{name}.png"

    return html_question(form_html(room, task, address, WayBack(submit_to=submit_to)))


def form_name(room: Room, task: Task) -> str:
    """Return the file name of a task's form."""
    return f"{room.signer.name('turk form', task.task_id)}.html"


def export_pictures(room: Room, folder: Path) -> int:
    """Write every picture under the name that HTML questions use; return their number."""
    make_folder(folder)
    named = {example_name(room, n): (EXAMPLES, n) for n in range(len(room.task_set.settings.training))}
    for task in room.task_set.tasks:
        named |= {
            picture_name(room, task, slot.position): (task.task_id, slot.position) for slot in task.slots
        }
    for name, place in named.items():
        room.write_picture(*place, folder / f"{name}.png")
    return len(named)


def export_forms(room: Room, folder: Path, *, submit_to: str) -> int:
    """Write every task as a form that holds its pictures, for external questions; return their number."""
    make_folder(folder)
    source: Source = embedded(room)
    for task in room.task_set.tasks:
        text = form_html(room, task, source, WayBack(submit_to=submit_to))
        write_text_atomic(folder / form_name(room, task), text)
    return len(room.task_set.tasks)
