"""The human ways: where their responses come from, and what a person has to do next."""

from pathlib import Path

from imagenetd.qc_config import QcMethod

TO_DO = {
    QcMethod.local: "serve the page with  python -m imagenetd.annotate {folder}",
    QcMethod.mturk: "publish the tasks with  python -m imagenetd.annotate mturk publish {folder}",
    QcMethod.labelstudio: "export the tasks with  python -m imagenetd.annotate labelstudio {folder}",
    QcMethod.form: "write forms with  python -m imagenetd.annotate form {folder} NAME ...",
}


def to_do(method: QcMethod, folder: Path) -> str:
    """Return the next step for people, in one line."""
    return TO_DO[method].format(folder=folder) + "  ; then start this command again"
