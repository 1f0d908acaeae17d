"""A real SLURM of two nodes on this machine, for the time of a test: its own munge key, ports and folders."""

import contextlib
import getpass
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "srun", "sbatch", "scontrol", "sinfo", "squeue")
SBIN = "/usr/sbin"
NODES = ("n1", "n2")
START_TIMEOUT_S = 60.0

CONFIG = """
ClusterName=imagenetd
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
ReturnToService=2
SlurmdTimeout=30
MinJobAge=300
{nodes}
PartitionName=main Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP
"""
NODE = (
    "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=2 RealMemory=4000 State=UNKNOWN"
)


def missing_programs() -> list[str]:
    """Return what a SLURM needs and this machine lacks."""
    path = f"{os.environ.get('PATH', '')}:{SBIN}"
    return [name for name in PROGRAMS if shutil.which(name, path=path) is None]


def free_ports(count: int) -> list[int]:
    """Return ports that are free now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@dataclass
class Cluster:
    """A running SLURM."""

    folder: Path
    environment: dict[str, str]
    daemons: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    def start(self, name: str, *command: str) -> None:
        """Start a daemon in the foreground of a session of its own."""
        with (self.folder / f"{name}.out").open("wb") as stream:
            self.daemons[name] = subprocess.Popen(
                command, stdout=stream, stderr=stream, env=self.environment, start_new_session=True
            )

    def run(self, *command: str, timeout_s: float = 60) -> "subprocess.CompletedProcess[str]":
        """Run one of SLURM's commands to its end."""
        return subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=timeout_s, check=False
        )

    def wait_for_nodes(self) -> None:
        """Come back when both nodes are idle."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            states = self.run("sinfo", "--noheader", "--Node", "--format=%T").stdout.split()
            if states == ["idle", "idle"]:
                return
            dead = [name for name, daemon in self.daemons.items() if daemon.poll() is not None]
            assert not dead, f"{dead} ended:\n{self.logs()}"
            time.sleep(0.3)
        raise AssertionError(f"the nodes did not come up:\n{self.logs()}")

    def logs(self) -> str:
        """Return the ends of all logs."""
        paths = sorted([*self.folder.glob("*.log"), *self.folder.glob("*.out")])
        return "\n".join(f"== {path.name}\n{path.read_text(errors='replace')[-1500:]}" for path in paths)

    def stop(self) -> None:
        """End the jobs, then the daemons; whatever does not end is killed."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.run("scancel", "--full", f"--user={getpass.getuser()}", timeout_s=10)
        for daemon in reversed(self.daemons.values()):
            daemon.terminate()
        for daemon in self.daemons.values():
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait(10)
        for pid in self._left_over():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _left_over(self) -> list[int]:
        """Return the step daemons and tasks that were started with this cluster's config."""
        mark = f"SLURM_CONF={self.environment['SLURM_CONF']}".encode()
        found = []
        for path in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                if mark in path.read_bytes().split(b"\0") and int(path.parent.name) != os.getpid():
                    found.append(int(path.parent.name))
        return found


@contextlib.contextmanager
def running_cluster(folder: Path) -> Iterator[Cluster]:
    """Start a SLURM, and stop it whatever happens."""
    host, ports = socket.gethostname().split(".")[0], free_ports(3)
    for name in ("state", *(f"spool-{node}" for node in NODES)):
        (folder / name).mkdir()
    nodes = [
        NODE.format(name=name, host=host, port=port) for name, port in zip(NODES, ports[1:], strict=True)
    ]
    config = CONFIG.format(
        host=host, controller_port=ports[0], user=getpass.getuser(), folder=folder, nodes="\n".join(nodes)
    )
    (folder / "slurm.conf").write_text(config)
    (folder / "munge.key").write_bytes(secrets.token_bytes(128))
    (folder / "munge.key").chmod(0o400)
    environment = {
        **os.environ,
        "PATH": f"{os.environ['PATH']}:{SBIN}",
        "SLURM_CONF": str(folder / "slurm.conf"),
        "MASTER_ADDR": "127.0.0.1",
    }
    cluster = Cluster(folder, environment)
    try:
        files = [f"--{kind}-file={folder}/munge.{kind}" for kind in ("key", "pid", "log", "seed")]
        cluster.start(
            "munged", "munged", "--foreground", "--force", f"--socket={folder}/munge.socket", *files
        )
        while not (folder / "munge.socket").exists():
            assert cluster.daemons["munged"].poll() is None, cluster.logs()
            time.sleep(0.05)
        cluster.start("slurmctld", "slurmctld", "-D")
        for name in NODES:
            cluster.start(f"slurmd-{name}", "slurmd", "-D", "-N", name)
        cluster.wait_for_nodes()
        yield cluster
    finally:
        cluster.stop()
