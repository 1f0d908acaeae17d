"""What was published and what came back, in one file for each service; written after every step."""

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path

from imagenetd.errors import StoreError
from imagenetd.store.private import write_private_json

STATE_FORMAT = 1


@dataclass(slots=True)
class Hit:
    """A published task."""

    hit_id: str
    max_assignments: int
    expires_s: float
    """Unix time up to which workers can take it."""


@dataclass(slots=True)
class Assignment:
    """One worker's work on a published task."""

    task_id: str
    turk_worker: str
    """Amazon's id of the worker: personal, kept here alone."""
    status: str
    """`Submitted`, `Approved` or `Rejected`."""
    problem: str = ""
    """Why its answers cannot be read; empty when they were taken in."""


@dataclass
class TurkState:
    """Everything that must be known after a restart."""

    path: Path
    hits: dict[str, Hit] = field(default_factory=dict)
    """By task id."""
    assignments: dict[str, Assignment] = field(default_factory=dict)
    """By Amazon's id."""
    qualification: str | None = None
    """Id of the qualification that shuts workers out."""

    def save(self) -> None:
        """Write the file atomically."""
        content: dict[str, object] = {"format": STATE_FORMAT, "qualification": self.qualification}
        content["hits"] = {name: dataclasses.asdict(hit) for name, hit in self.hits.items()}
        content["assignments"] = {name: dataclasses.asdict(one) for name, one in self.assignments.items()}
        write_private_json(self.path, content)


def read_state(path: Path) -> TurkState:
    """Read the file; an empty state where there is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        hits = {name: Hit(**hit) for name, hit in content["hits"].items()}
        assignments = {name: Assignment(**one) for name, one in content["assignments"].items()}
        return TurkState(path, hits, assignments, content["qualification"])
    except FileNotFoundError:
        return TurkState(path)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise StoreError(
            f"{path} is damaged ({error!r}). Put it aside: published tasks are found again at Amazon."
        ) from error
