"""Actors of a Ray cluster: on one machine, inside a SLURM job, on Kubernetes, on machines that come and go."""

import contextlib
import importlib.util
import os
import re
import secrets
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from imagenetd.config.groups import takes_options
from imagenetd.config.ranges import Range
from imagenetd.config.schema import Config
from imagenetd.errors import ConfigError, WorkerError
from imagenetd.stages.executors.executor import Executor
from imagenetd.stages.workers.board import Board, Seat
from imagenetd.stages.workers.supervise import Crew, supervise
from imagenetd.stages.workers.work import Work
from imagenetd.store.console import say

PROBE_S = 10.0
"""A cluster that does not take a connection within so long is not there."""
LOOK_S = 0.1
REMIND_S = 60.0
OBJECT_STORE_BYTES = 100 * 2**20
"""Of a cluster that is started here: images and logits go through files, never through Ray."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActorOptions:
    """What a worker is in the cluster."""

    address: str = "auto"
    num_workers: Annotated[int | None, Range(1, 100_000)] = None
    num_cpus: Annotated[float, Range(0, 4096)] = 1.0
    num_gpus: Annotated[float | None, Range(0, 64)] = None
    memory_gib: Annotated[float | None, Range(0, 65_536, open_low=True)] = None
    working_dir: str | None = None
    env: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long what is waited for."""

    lost_after_s: Annotated[float, Range(1, 86_400)] = 120.0
    join_timeout_s: Annotated[float, Range(1, 86_400)] = 1800.0
    slow_factor: Annotated[float, Range(0, 1_000_000)] = 5.0
    max_losses: Annotated[int, Range(0, 1_000_000)] = 5


class RayExecutor(Executor):
    """One actor for each GPU, or for each CPU where no GPU is asked for; all of them see the output folder.

    Args:
        actors: Where they run, how many, and what each of them needs.
        patience: When one is lost, and when the run ends without them.
    """

    @takes_options
    def __init__(self, *, actors: ActorOptions, patience: Patience) -> None:
        if importlib.util.find_spec("ray") is None:
            raise ConfigError("executor=ray needs the library ray: pip install 'imagenetd[ray]'.")
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # read when Ray is imported
        os.environ.setdefault(
            "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0"
        )  # else a FutureWarning in each process
        self.actors, self.patience = actors, patience

    @contextlib.contextmanager
    def leading(self, config: Config) -> Iterator[None]:
        """Be connected to the cluster from the first stage to the last."""
        import ray

        if ray.is_initialized():  # by who calls us
            yield
            return
        connect(self.actors.address)
        try:
            yield
        finally:
            _idle.clear()
            ray.shutdown()

    def carry_out(self, work: Work, config: Config) -> bool:
        """Return when no shard is missing: always by actors, so that the run's own machine needs no GPU."""
        ray, patience = connect(self.actors.address), self.patience
        options = _options_of_actor(self.actors, config)
        count = min(self.actors.num_workers or _num_places(ray, options), len(work.missing()))
        if not count:
            return True
        board = Board(work.folder)
        board.open()
        seats = [
            Seat(number=number, count=count, slow_factor=patience.slow_factor) for number in range(count)
        ]
        crew = RayCrew(ray, work.folder, options, patience)
        max_losses = patience.max_losses * count
        supervise(work, board, crew, seats, silence_s=patience.lost_after_s, max_losses=max_losses)
        return True

    def num_workers(self, config: Config) -> int:
        """Return how many actors are asked for; where that is left to the cluster, `trainer.devices`."""
        return self.actors.num_workers or super().num_workers(config)


class RayCrew(Crew):
    """Actors of a cluster; those for which it has no room yet wait, and join when it grows.

    Args:
        ray: The library, connected.
        folder: Of the stage.
        options: What an actor needs.
        patience: When one is lost, and how long none may have begun.
    """

    kind = "actors"
    patience_s = 10.0  # one that still reads its libraries need not end

    def __init__(self, ray: Any, folder: Path, options: dict[str, Any], patience: Patience) -> None:
        self._ray, self._folder, self._options, self._patience = (
            ray,
            str(folder.absolute()),
            options,
            patience,
        )
        self._actors: dict[str, Any] = {}
        self._questions: dict[Any, tuple[str, bool]] = {}
        """What an actor was asked -> its name, and whether that is the work itself."""
        self._hosts: dict[str, str] = {}
        """Of those that have begun."""
        self._ends: dict[str, str] = {}
        self._fault: WorkerError | None = None
        """Ends the run; told once, since after it the other actors are still to be sent home."""
        self._since = self._told = time.monotonic()
        self._looked = 0.0
        self._is_told = False

    def start(self, seat: Seat) -> str:
        """Let an actor take a seat as soon as there is room for one."""
        name = f"{seat.number}-{secrets.token_hex(4)}"
        idle = _idle.get(repr(self._options), [])
        actor = idle.pop() if idle else self._ray.remote(**self._options)(_Worker).remote()
        self._actors[name] = actor
        self._questions[actor.host.remote()] = (name, False)
        work = actor.work.remote(self._folder, replace(seat, name=name), self._patience.lost_after_s)
        self._questions[work] = (name, True)
        return name

    def is_waiting(self, name: str) -> bool:
        """Tell whether the cluster has no room for an actor yet, or has not yet started it."""
        self._look()
        return name not in self._hosts and name not in self._ends

    def ended(self, name: str) -> str | None:
        """Return how an actor ended, None while it works or waits; WorkerError where another would end likewise."""
        self._look()
        if self._fault is not None and not self._is_told:
            self._is_told = True
            raise self._fault
        return self._ends.get(name)

    def kill(self, name: str) -> None:
        """End the process of an actor, also one that is stopped."""
        with contextlib.suppress(Exception):  # of whatever kind: the cluster may be gone
            self._ray.kill(self._actors[name], no_restart=True)
        self._ends.setdefault(name, "by the run")

    def _look(self) -> None:
        """Ask, in one call, which actors have begun and which have ended."""
        now = time.monotonic()
        if now - self._looked < LOOK_S or not self._questions:
            return
        try:
            questions = list(self._questions)
            answered, _ = self._ray.wait(questions, num_returns=len(questions), timeout=0, fetch_local=False)
            for question in answered:
                self._hear(question)
            if not self._hosts and not self._ends:
                self._wait_for_room(now)
        except ConnectionError:
            self._fault = self._fault or WorkerError(
                "The Ray cluster is gone. What is finished is kept: the same command goes on from here."
            )
            self._ends = dict.fromkeys(self._actors, "with the cluster") | self._ends
            self._questions = {}
        self._looked = time.monotonic()

    def _hear(self, question: Any) -> None:
        name, is_work = self._questions.pop(question)
        exceptions = self._ray.exceptions
        try:
            answer = self._ray.get(question)
        except exceptions.RayError as error:
            if not is_work or name in self._ends:
                return
            self.kill(name)  # should it be out of reach alone, its place is free again
            self._ends[name] = how_it_ended(error)
            faults = exceptions.RayTaskError, exceptions.RuntimeEnvSetupError
            if isinstance(error, faults) or "creation task" in str(error):
                self._fault = self._fault or WorkerError(self._described(name, error))
            return
        if is_work:
            self._ends[name] = ""
            _idle.setdefault(repr(self._options), []).append(self._actors[name])
        else:
            self._hosts[name] = answer

    def _described(self, name: str, error: Exception) -> str:
        """Return what to say of an error that would come again in another actor."""
        host = self._hosts.get(name, "its node")
        return (
            f"Worker {name.partition('-')[0]} on {host}: {_last_line(error)} Every node needs this imagenetd, "
            f"your own modules, and {self._folder} under this very name."
        )

    def _wait_for_room(self, now: float) -> None:
        needs = ", ".join(
            f"{self._options[name]:g} {word}"
            for name, word in (("num_cpus", "CPU"), ("num_gpus", "GPU"), ("memory", "bytes of memory"))
            if self._options.get(name)
        )
        if now - self._since > self._patience.join_timeout_s:
            self._fault = self._fault or WorkerError(
                f"The Ray cluster had no room for a worker ({needs}) within {self._patience.join_timeout_s:g} s "
                f"(executor.join_timeout_s); it has {_shown(self._ray.cluster_resources())}. Add nodes or ask for less."
            )
        if now - self._told > REMIND_S:
            self._told = now
            say(
                f"waiting: the Ray cluster has no room yet for a worker ({needs}); it has "
                f"{_shown(self._ray.cluster_resources())}, of which {_shown(self._ray.available_resources())} free",
                style="yellow",
            )


class _Worker:
    """The actor: a process of the cluster, which keeps its libraries from stage to stage."""

    def host(self) -> str:
        """Return the name of this machine."""
        return socket.gethostname()

    def work(self, folder: str, seat: Seat, lost_after_s: float) -> None:
        """Take shards of a folder until none is missing."""
        from imagenetd.stages.workers.opening import work_at

        work_at(Path(folder), seat, lost_after_s=lost_after_s)


_idle: dict[str, list[Any]] = {}
"""Options of an actor -> those that wait for the next stage of this run."""


def connect(address: str) -> Any:
    """Return the library `ray`, connected to a cluster; it sends no statistics and prints nothing into the terminal.

    Args:
        address: `auto`: the cluster of `RAY_ADDRESS`, or the one of this machine; `local`: one is started here;
            `HOST:PORT` or `ray://HOST:PORT`.

    Raises:
        ConfigError: There is no cluster, within 30 s.
    """
    import ray

    if ray.is_initialized():
        return ray
    place = _resolved(address)
    here: dict[str, Any] = {}
    if place == "local":
        os.environ.setdefault(
            "RAY_worker_niceness", "0"
        )  # else whatever else runs here is served before the actors
        here = {"include_dashboard": False, "object_store_memory": OBJECT_STORE_BYTES}
    else:
        _probe(place)
        os.environ.setdefault("RAY_gcs_server_port_wait_time_s", "2")  # tries, of 10 s each
        os.environ.setdefault("RAY_CLIENT_MAX_CONNECTION_TIMEOUT_S", "8")
    _silence(ray)
    try:
        ray.init(address=place, log_to_driver=False, logging_level="ERROR", **here)
    except (ConnectionError, RuntimeError, ValueError, OSError, ImportError) as error:
        raise ConfigError(
            f"executor.address={address} gives no Ray cluster: {_last_line(error)} Is it of the same Ray "
            f"({ray.__version__}) and Python, and does this process have its token?"
        ) from error
    return ray


def _silence(ray: Any) -> None:
    """Keep pages of state dumps, one for each lost process or node, out of the terminal: they stand in Ray's logs.

    Ray 2.60 shows them in the terminal whatever `log_to_driver` says; when it does not any more, this can go.
    """
    from ray._private import worker

    if hasattr(worker, "_worker_logs_enabled"):
        worker._worker_logs_enabled = False


def _resolved(address: str) -> str:
    if address != "auto":
        return address
    from ray._private.utils import read_ray_address

    found = os.environ.get("RAY_ADDRESS") or read_ray_address()
    if not found:
        raise ConfigError(
            "executor.address=auto, but RAY_ADDRESS is not set and no Ray cluster runs on this machine. Start one with "
            "`ray start --head`, or set executor.address=local."
        )
    return found


def _probe(place: str) -> None:
    """Raise ConfigError when nobody listens there: Ray itself would try for minutes."""
    host, _, port = place.removeprefix("ray://").split("/")[0].rpartition(":")
    if not host or not port.isdigit():
        raise ConfigError(
            f"executor.address={place} is no address of Ray: write auto, local, HOST:PORT or ray://HOST:PORT."
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=PROBE_S).close()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(
            f"No Ray cluster listens at {place} ({reason}). Start it, or set executor.address to another one."
        ) from error


def _options_of_actor(asked: ActorOptions, config: Config) -> dict[str, Any]:
    """Return what an actor needs, in Ray's words."""
    num_gpus = asked.num_gpus
    if num_gpus is None:
        num_gpus = 0.0 if config.trainer.accelerator == "cpu" else 1.0
    options: dict[str, Any] = {
        "num_cpus": asked.num_cpus,
        "num_gpus": num_gpus,
        "max_restarts": 0,  # who takes a lost one's seat has another name
        "scheduling_strategy": "SPREAD",
    }
    if asked.memory_gib is not None:
        options["memory"] = int(asked.memory_gib * 2**30)
    environment: dict[str, Any] = {}
    if asked.env:
        environment["env_vars"] = dict(asked.env)
    if asked.working_dir is not None:
        environment["working_dir"] = asked.working_dir
    return options | ({"runtime_env": environment} if environment else {})


def _num_places(ray: Any, options: dict[str, Any]) -> int:
    """Return how many actors the cluster can hold as it is now; at least one, for it may grow."""
    there = ray.cluster_resources()
    rooms = [
        there.get(resource, 0.0) / options[name]
        for name, resource in (("num_cpus", "CPU"), ("num_gpus", "GPU"), ("memory", "memory"))
        if options.get(name)
    ]
    return max(1, int(min(rooms, default=1)))


def how_it_ended(error: Exception) -> str:
    """Return how an actor was lost, in a few words, e.g. `with its node`."""
    text = str(error)
    if "node has died" in text or "node was terminated" in text or "preempted" in text:
        return "with its node"
    if "NODE_OUT_OF_MEMORY" in text or type(error).__name__ == "OutOfMemoryError":
        return "by Ray, since its node had no memory left"
    if "unavailable" in text:
        return "out of reach"
    kind = re.search(r"exit type: (\w+)", text)
    return f"with its process ({kind[1]})" if kind else "with its process"


def _last_line(error: Exception) -> str:
    """Return what an error says, without the traceback of another machine."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    line = lines[-1] if lines else type(error).__name__
    return line if line.endswith((".", "?", "!")) else f"{line}."


def _shown(resources: dict[str, float]) -> str:
    return f"{resources.get('CPU', 0):g} CPU and {resources.get('GPU', 0):g} GPU"
