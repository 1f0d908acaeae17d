"""What a person has to do next in each of the human ways, in one line."""

from pathlib import Path

from imagenetd.config.qc import QcMethod

ANNOTATE = "python -m imagenetd.qc.annotate"
COMMANDS = {
    QcMethod.local: "{annotate} {folder}",
    QcMethod.form: "{annotate} form {folder} NAME ..., then {annotate} import {folder} RESULTS ...",
    QcMethod.labelstudio: "{annotate} labelstudio {folder}, then {annotate} import {folder} EXPORT.json",
    QcMethod.mturk: "{annotate} mturk estimate {folder}, then publish and review instead of estimate",
}


def to_do(method: QcMethod, folder: Path) -> str:
    """Return the next step for people.

    >>> to_do(QcMethod.labelstudio, Path("votes/1")).partition(",")[0]
    'python -m imagenetd.qc.annotate labelstudio votes/1'
    """
    return f"{COMMANDS[method].format(annotate=ANNOTATE, folder=folder)}; then start this command again"
