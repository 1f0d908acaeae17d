"""The human ways: where their responses come from, and what a person has to do next."""

from pathlib import Path

from imagenetd.qc.exchange import TASKS_FILE
from imagenetd.qc_config import QcMethod

TO_DO = {
    QcMethod.local: "open the annotation page with  python -m imagenetd.qc.serve {folder}",
    QcMethod.mturk: "publish the tasks with  python -m imagenetd.qc.mturk publish {folder}",
    QcMethod.labelstudio: "export the tasks with  python -m imagenetd.qc.labelstudio export {folder}",
    QcMethod.form: "write the form with  python -m imagenetd.qc.form write {folder}",
}


def to_do(method: QcMethod, folder: Path) -> str:
    """Return the next step for people, in one line."""
    return TO_DO[method].format(folder=folder) + "  ; then start this command again"


def collect(method: QcMethod, folder: Path) -> None:
    """Bring in the answers that a way keeps elsewhere, before they are counted; the local page delivers by itself."""
    if not (folder / TASKS_FILE).is_file():
        return
