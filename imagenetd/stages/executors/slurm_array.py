"""Job arrays of SLURM: the command submits and ends; a dependent job starts it again, which merges and goes on."""

import contextlib
import os
import secrets
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated

from imagenetd.config.groups import takes_options
from imagenetd.config.ranges import Range
from imagenetd.config.schema import Config, StageName
from imagenetd.errors import UserError, WorkerError
from imagenetd.stages.executors.executor import Executor, SubmittedError
from imagenetd.stages.executors.slurm_commands import (
    cancel,
    max_array_size,
    require_slurm,
    submit,
    waiting_or_running,
)
from imagenetd.stages.executors.slurm_scripts import (
    JobOptions,
    array_option,
    array_script,
    command_of_this_run,
    next_script,
)
from imagenetd.stages.workers.board import Board
from imagenetd.stages.workers.work import Work
from imagenetd.store.console import say
from imagenetd.store.files import make_folder, write_text_atomic
from imagenetd.store.folders import content_key, read_sealed_record, write_record
from imagenetd.store.numerals import counted

FOLDER = "slurm"
"""Below the folder of a stage: scripts, logs, and the record of the jobs."""
RECORD_FILE = "submitted.json"
SHOWN_SHARDS = 12


@dataclass(frozen=True, slots=True)
class Submission:
    """What was last submitted for a stage."""

    number: int = 0
    """Counts the submissions of the stage; names the folder of scripts and logs."""
    name: str = ""
    """Another one for each submission: tasks of an older one find no work."""
    work: str = ""
    """Key of what is done, e.g. of which models are shown which images."""
    arrays: list[str] = field(default_factory=list)
    """Jobs of the tasks."""
    followers: dict[str, str] = field(default_factory=dict)
    """Key of a command -> the job that starts it again; jobs of a sweep may wait for the same tasks."""
    num_missing: int = 0
    """Shards, when it was submitted."""
    num_idle: int = 0
    """Submissions before it, in a row, after which no shard more was there."""
    failed: str = ""
    """What the run ended with, after this submission."""


_FIELDS: dict[str, type | tuple[type, ...]] = {
    "number": int, "name": str, "work": str, "arrays": list, "followers": dict,
    "num_missing": int, "num_idle": int, "failed": str,
}  # fmt: skip


class SlurmArrayExecutor(Executor):
    """Tasks of job arrays, each a worker; no process waits for them.

    Args:
        tasks: Workers of a stage, at most one for each missing shard.
        max_parallel: So many run at a time; null: as many as the cluster gives.
        max_array_size: More tasks are split over several arrays; null: what `scontrol show config` says.
        max_submissions: So many submissions in a row may end without one shard more; then the run ends.
        job: What every job asks for.
    """

    @takes_options
    def __init__(
        self,
        *,
        tasks: Annotated[int, Range(1, 1_000_000)] = 8,
        max_parallel: Annotated[int | None, Range(1, 1_000_000)] = None,
        max_array_size: Annotated[int | None, Range(1, 10_000_000)] = None,
        max_submissions: Annotated[int, Range(1, 1000)] = 3,
        job: JobOptions = JobOptions(),  # noqa: B008 - frozen
    ) -> None:
        self.tasks, self.max_parallel, self.max_array_size = tasks, max_parallel, max_array_size
        self.max_submissions, self.job = max_submissions, job

    @contextlib.contextmanager
    def leading(self, config: Config) -> Iterator[None]:
        """Make sure, before any work, that jobs can be submitted where there are long stages."""
        long = {StageName.generate, StageName.predict, StageName.confirm}
        if long & set(config.stages) or config.mining.confirm:
            require_slurm()
        yield

    def num_workers(self, config: Config) -> int:
        """Return how many tasks work at the same time."""
        return min(self.tasks, self.max_parallel or self.tasks)

    def look(self, folder: Path) -> None:
        """Wait no longer than a glance: where this command's jobs are still to come, the run ends here."""
        last = read_submission(folder)
        if last is None:
            return
        job = os.environ.get("SLURM_JOB_ID", "")
        if last.failed and job in last.followers.values():
            raise WorkerError(last.failed)
        if last.failed:
            say(f"the last jobs of {folder} ended so: {last.failed}", style="yellow")
            write_submission(folder, Submission(number=last.number))
            return
        command = command_of_this_run()
        own = last.followers.get(_key_of(command), "")
        there = waiting_or_running([*last.arrays, *last.followers.values()])
        where = folder / FOLDER / f"{last.number:03d}"
        if own in there and own != job:
            at_work = [job for job in last.arrays if job in there]
            first = f"{_jobs(at_work)} at work, then " if at_work else ""
            raise SubmittedError(
                folder,
                f"already submitted: {first}job {own} goes on with this command; scripts and logs -> {where}",
            )
        if at_work := [job for job in last.arrays if job in there]:
            after = self._submit_next(folder, last, command, after=at_work)
            raise SubmittedError(
                folder, f"{_jobs(at_work)} at work here already; job {after} then goes on with this command"
            )
        self._raise_what_ended_it(folder, last)

    def _raise_what_ended_it(self, folder: Path, last: Submission) -> None:
        board = Board(folder)
        failed = [sign for sign in board.signs().values() if sign.error_kind]
        if failed and board.name == last.name:
            sign = min(failed, key=lambda sign: sign.number)
            board.close()
            raise self._ended(folder, last, WorkerError(f"Task {sign.number} on {sign.host}: {sign.error}"))

    def _ended(self, folder: Path, last: Submission, error: UserError) -> UserError:
        write_submission(folder, replace(last, failed=str(error)))
        return error

    def carry_out(self, work: Work, config: Config) -> bool:
        """Return True when no shard is missing; else submit the tasks and the job that starts this command again."""
        missing = work.missing()
        if not missing:
            return True
        last = read_submission(work.folder) or Submission()
        key = content_key(work.order())
        num_idle = 0
        if last.work == key and len(missing) >= last.num_missing:
            num_idle = last.num_idle + 1
        if num_idle >= self.max_submissions:
            raise self._ended(work.folder, last, _without_progress(work.folder, missing, last, num_idle))
        board, command = Board(work.folder), command_of_this_run()
        now = Submission(
            number=last.number + 1,
            name=secrets.token_hex(8),
            work=key,
            num_missing=len(missing),
            num_idle=num_idle,
        )
        board.open(name=now.name)
        count = min(self.tasks, len(missing))
        now = self._submit_tasks(work, now, count)
        after = self._submit_next(work.folder, now, command, after=now.arrays)
        again = "" if now.number == 1 else f" (submission {now.number})"
        what = f"{counted(len(missing), 'shard')} of {work.stage} to {counted(count, 'task')}"
        raise SubmittedError(
            work.folder,
            f"submitted: {what} of {_jobs(now.arrays)}{again}; job {after} then goes on with this command, and nothing "
            f"more is to be done; scripts and logs -> {work.folder / FOLDER}/{now.number:03d}",
        )

    def _submit_tasks(self, work: Work, now: Submission, count: int) -> Submission:
        """Submit the arrays; a task of an array that cannot follow another one finds no work."""
        folder = make_folder(work.folder / FOLDER / f"{now.number:03d}")
        size = min(count, self.max_array_size or max_array_size())
        worker = [sys.executable, "-m", "imagenetd.stages.workers", str(work.folder.absolute())]
        worker += ["--tasks", str(count), "--submission", now.name]
        for first in range(0, count, size):
            log = folder.absolute() / "task-%A_%a.log"
            head = [
                *self.job.head(name=f"imagenetd-{work.stage}", log=log, uses_gpu=True),
                array_option(min(size, count - first), at_once=self.max_parallel),
            ]
            text = array_script(head, setup=self.job.setup, worker=worker, first=first)
            script = folder / f"tasks-{first}.sh"
            write_text_atomic(script, text)
            # with a limit, the arrays run one after the other, so that it holds for all of them together
            after = now.arrays[-1:] if self.max_parallel else []
            try:
                job = submit(script, after=after)
            except UserError:
                if now.arrays:
                    cancel(now.arrays)
                raise
            now = replace(now, arrays=[*now.arrays, job])
            write_submission(work.folder, now)
        return now

    def _submit_next(
        self, folder: Path, now: Submission, command: Sequence[str], *, after: Sequence[str]
    ) -> str:
        """Submit the job that starts the command again, and write it down."""
        key, place = _key_of(command), make_folder(folder / FOLDER / f"{now.number:03d}")
        head = self.job.head(name="imagenetd-next", log=place.absolute() / "next-%j.log", uses_gpu=False)
        script = place / f"next-{key[:8]}.sh"
        write_text_atomic(script, next_script(head, setup=self.job.setup, command=command))
        job = submit(script, after=after)
        write_submission(folder, replace(now, followers={**now.followers, key: job}))
        return job


def read_submission(folder: Path) -> Submission | None:
    """Return what was last submitted for a stage; None when nothing ever was."""
    path = folder / FOLDER / RECORD_FILE
    if not path.is_file():
        return None
    record = read_sealed_record(path, _FIELDS)
    return Submission(**{name: record[name] for name in _FIELDS})


def write_submission(folder: Path, submission: Submission) -> None:
    """Write down what was submitted."""
    write_record(folder / FOLDER / RECORD_FILE, asdict(submission))


def _without_progress(folder: Path, missing: Sequence[int], last: Submission, num_idle: int) -> WorkerError:
    shown = ", ".join(map(str, missing[:SHOWN_SHARDS])) + (", ..." if len(missing) > SHOWN_SHARDS else "")
    what, verb, them = counted(len(missing), "shard"), "are", "one of them"
    if len(missing) == 1:
        verb, them = "is", "it"
    logs = folder / FOLDER / f"{last.number:03d}"
    return WorkerError(
        f"{what} of {folder} {verb} missing ({shown}), and {counted(num_idle, 'submission')} in a row did not make "
        f"{them}. The logs of the tasks lie in {logs}: mend what ended them, then start the same command again."
    )


def _key_of(command: Sequence[str]) -> str:
    return content_key({"command": sorted(command), "cwd": os.getcwd()})


def _jobs(jobs: Sequence[str]) -> str:
    return f"job array {jobs[0]}" if len(jobs) == 1 else f"job arrays {', '.join(jobs)}"
