"""What a config asks of quality control: the models it needs, what is refused, and the keys that its votes change."""

import dataclasses
import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imagenetd.config.qc import PEOPLE, QcConfig, QcMethod
from imagenetd.config.schema import Config
from imagenetd.errors import ConfigError
from imagenetd.qc.completion import Rules
from imagenetd.qc.task_design import DESIGN_VERSION
from imagenetd.qc.votes import DECISIONS_FILE, VOTES_FILE
from imagenetd.qc.votes_folder import response_files
from imagenetd.qc.wording import WORDING_VERSION
from imagenetd.records import Identity
from imagenetd.store.folders import STAGE_FILE, content_key, file_sha256, read_stage_file

QC_VERSION = 4
"""Part of every key of quality control: raise it when the same votes give other results or other files."""


HARD = ("num_hard_positive", "num_hard_negative", "hard_votes", "hard_share")
"""Options of the hard sentinels: without these no part of a key."""

ARMS_VERSION = 1
"""Raise it when the same images would fall into other sampling arms."""


@dataclass(frozen=True, slots=True)
class PresentVotes:
    """Where the votes on this run's images lie, and which of them were there when the keys were made."""

    folder: Path
    names: tuple[str, ...]
    """Files of the responses that count; later ones count in the next run."""


def rules_of(config: QcConfig) -> Rules:
    """Return what makes a task complete."""
    tasks = config.tasks
    return Rules(tasks.workers_per_image, tasks.sentinel_rule, config.stopping, config.aggregation.min_share)


def present_votes(
    config: QcConfig, root: Path, *, mine: str, gate: Sequence[str], oracle: Sequence[str]
) -> PresentVotes | None:
    """Return where the votes lie; None for a way without tasks.

    The folder's name depends on what is asked, not on how answers are counted or how many there shall be: votes of
    people survive a change of those.

    Args:
        config: Of quality control.
        root: `paths.output_dir`.
        mine: Key of the mined set.
        gate: Keys of the gate's predictions, if there is a gate.
        oracle: Keys of the oracle's predictions, if there is an oracle.
    """
    if config.method not in {*PEOPLE, QcMethod.simulated}:
        return None
    tasks = plain(config.tasks)
    counting = {name: tasks.pop(name) for name in ("workers_per_image", "sentinel_rule")}
    counting["min_share"] = config.aggregation.min_share
    if not gate:
        tasks.pop("num_rejected")  # nothing is rejected
    if config.tasks.hard_votes is None:
        for name in HARD:
            tasks.pop(name)
    else:
        source = finished_votes(config.tasks.hard_votes, option="qc.tasks.hard_votes")
        tasks["hard_votes"] = [file_sha256(source / name) for name in (VOTES_FILE, DECISIONS_FILE)]
    identity: Identity = {
        "stage": "votes",
        "arms": ARMS_VERSION,
        "design": DESIGN_VERSION,
        "mine": mine,
        "tasks": tasks,
    }
    identity |= {"wording": WORDING_VERSION}
    identity |= {"gate": list(gate), "min_confidence": config.min_confidence if gate else None}
    if config.method is QcMethod.simulated:
        truth = {"workers": plain(config.workers), "oracle": list(oracle)}
        identity |= {"simulated": truth | {"counting": counting, "stopping": plain(config.stopping)}}
    folder = root / "votes" / content_key(identity)
    names = () if config.method is QcMethod.simulated else tuple(path.name for path in response_files(folder))
    return PresentVotes(folder, names)


def qc_identity(
    config: QcConfig,
    votes: PresentVotes | None,
    *,
    mine: str,
    gate: Sequence[str],
    calibration: Sequence[Path],
) -> Identity:
    """Return what changes the result of quality control, the votes that are there included.

    Args:
        config: Of quality control.
        votes: From `plan_votes`.
        mine: Key of the mined set.
        gate: Keys of the gate's predictions, if there is a gate.
        calibration: Folders of the votes that calibrate the gate.
    """
    identity: Identity = {"stage": "qc", "version": QC_VERSION, "mine": mine}
    identity |= {"method": config.method.value, "gate": list(gate)}
    identity |= {"min_confidence": config.min_confidence if gate else None}
    if config.method is QcMethod.auto:
        votes_used = {
            str(number): [file_sha256(path / name) for name in (VOTES_FILE, DECISIONS_FILE)]
            for number, path in enumerate(calibration)
        }
        settings = plain(config.calibration) | {"votes": votes_used}
        identity |= {"calibration": settings}
    if votes is not None:
        responses = {name: file_sha256(votes.folder / "responses" / name) for name in votes.names}
        counting = {"workers_per_image": config.tasks.workers_per_image, "stopping": plain(config.stopping)}
        counting |= {
            "sentinel_rule": config.tasks.sentinel_rule.value,
            "aggregation": plain(config.aggregation),
        }
        identity |= {"votes": votes.folder.name, "responses": responses, "counting": counting}
    return identity


def plan_identity(config: Config, *, surrogates: Sequence[str], gate: Sequence[str]) -> Identity:
    """Return what changes a cost plan: predictions, prices and the design of the tasks."""
    settings = {"tasks": plain(config.qc.tasks), "planning": plain(config.planning)}
    settings["stopping"] = plain(config.qc.stopping)
    return {"stage": "plan", "surrogates": sorted(surrogates), "gate": list(gate)} | settings


def calibration_folders(config: QcConfig, root: Path, *, pool: str) -> tuple[Path, ...]:
    """Return the finished stages of quality control whose human votes calibrate the gate.

    Args:
        config: Of quality control.
        root: `paths.output_dir`.
        pool: Key of the pool.
    """
    named = config.calibration.votes
    if config.method is not QcMethod.auto or named is None:
        return ()
    if named != "auto":
        return (finished_votes(named, option="qc.calibration.votes"),)
    methods = {method.value for method in PEOPLE}
    found = []
    for record_path in sorted((root / "qc").glob(f"*/{STAGE_FILE}")):
        record = read_stage_file(record_path) or {}
        if record.get("method") in methods and record.get("pool") == pool:
            found.append(record_path.parent)
    return tuple(found)


def finished_votes(named: str, *, option: str) -> Path:
    """Return a finished folder of quality control; ConfigError, with the option's name, for anything else."""
    folder = Path(named)
    is_there = all((folder / name).is_file() for name in (VOTES_FILE, DECISIONS_FILE))
    if not is_there or read_stage_file(folder / STAGE_FILE) is None:
        raise ConfigError(
            f"{option}={named} is no finished folder of quality control: it holds no {VOTES_FILE} and {STAGE_FILE}. "
            f"Name the folder that the qc stage printed{', auto,' if option == 'qc.calibration.votes' else ''} or null."
        )
    return folder


def plain(settings: Any) -> Identity:
    """Return a dataclass of the config as plain values."""
    fields: Mapping[str, Any] = dataclasses.asdict(settings)
    return {name: value.value if isinstance(value, enum.Enum) else value for name, value in fields.items()}
