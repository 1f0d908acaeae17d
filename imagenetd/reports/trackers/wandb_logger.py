"""One W&B run for each (pool, surrogates, target); offline where nobody is logged in."""

import contextlib
import netrc
import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from imagenetd.config.ranges import MayBeEmpty, Range
from imagenetd.errors import ConfigError, UserError
from imagenetd.reports.trackers.run_report import RunReport
from imagenetd.reports.trackers.tracked import LEVELS
from imagenetd.reports.trackers.wandb_media import logged_media, wandb_artifact
from imagenetd.store.folders import make_folder

MODES = ("auto", "online", "offline", "disabled")


class WandbLogger:
    """Logs config, summary, tables and failures of a run to W&B.

    Args:
        project: Made by W&B if absent.
        entity: Team or user; null: the default of the account.
        mode: `auto` is online when logged in (WANDB_API_KEY or an entry in ~/.netrc), else offline;
            WANDB_MODE overrules `auto`.
        group: Runs of one group compare in the UI; null: the runs of one pool.
        tags: Added to those of the run.
        max_failures: Images in the grid of failures.
        artifacts: What is uploaded of pool, predictions and benchmark: `none`, `small` (manifests, decisions, scores)
            or `all` (also images and logits).
    """

    def __init__(
        self,
        project: str = "imagenetd",
        entity: str | None = None,
        *,
        mode: str = "auto",
        group: str | None = None,
        tags: Annotated[list[str] | None, MayBeEmpty()] = None,
        max_failures: Annotated[int, Range(0, 100_000)] = 64,
        artifacts: str = "small",
    ) -> None:
        if mode not in MODES:
            raise ConfigError(
                f"logger.mode is {mode}, but only {', '.join(MODES)} are known. Choose one of them."
            )
        if artifacts not in LEVELS:
            raise ConfigError(
                f"logger.artifacts is {artifacts}, but only {', '.join(LEVELS)} are known. Choose one of them."
            )
        self.artifacts = artifacts
        self.project = project
        self.entity = entity
        self.mode = mode
        self.group = group
        self.tags = tuple(tags or ())
        self.max_failures = max_failures

    def log_run(self, run: RunReport, folder: Path) -> str | None:
        """Log a run and return the command that uploads it, None when it is online or disabled.

        Everything that W&B writes lies in `folder/wandb`, also what `wandb sync` will need. Whatever goes
        wrong in W&B is a UserError of one line.
        """
        mode = resolve_mode(self.mode, os.environ)
        if mode == "disabled":
            return None
        make_folder(folder / "wandb")
        with _contained(folder.resolve() / "wandb"):
            try:
                import wandb
            except ImportError as error:
                raise UserError(
                    "logger=wandb needs the package wandb: pip install wandb, or logger=csv."
                ) from error
            try:
                run_folder = self._log(wandb, run, folder.resolve(), mode)
            except Exception as error:  # W&B raises its own, pydantic's and the system's errors
                reason = (str(error).strip() or type(error).__name__).splitlines()[0]
                raise UserError(
                    f"Logging to W&B ({mode}) failed: {reason} The results are complete in {folder}; "
                    "run again to log them, or use logger.mode=offline or logger=csv."
                ) from error
            finally:
                # The service of W&B keeps the first job's folders: in a sweep each job gets its own.
                wandb.teardown()
        return f"wandb sync {shlex.quote(str(run_folder))}" if mode == "offline" else None

    def _log(self, wandb: Any, run: RunReport, folder: Path, mode: str) -> Path:
        session = wandb.init(
            project=self.project,
            entity=self.entity,
            id=run.key,
            name=run.name,
            group=self.group or run.group,
            job_type=run.job_type,
            tags=[*run.tags, *self.tags],
            config=run.config,
            dir=str(folder),
            mode=mode,
            settings=_quiet_settings(wandb),
        )
        try:
            session.summary.update(run.summary)
            logged = logged_media(wandb, run, max_failures=self.max_failures)
            session.log(logged)
            for artifact in run.artifacts:
                session.log_artifact(wandb_artifact(wandb, artifact))
            # `dir` of a run is its `files` folder; `wandb sync` takes the one above.
            return Path(session.dir).parent
        finally:
            session.finish()


def resolve_mode(mode: str, environment: os._Environ[str] | dict[str, str]) -> str:
    """Return `online`, `offline` or `disabled`; `auto` follows WANDB_MODE, then whether one is logged in."""
    if mode != "auto":
        return mode
    if (named := environment.get("WANDB_MODE")) in MODES[1:]:
        return str(named)
    return "online" if is_logged_in(environment) else "offline"


def is_logged_in(environment: os._Environ[str] | dict[str, str]) -> bool:
    """Tell whether W&B would find a key without asking: in the environment or in the netrc file."""
    if environment.get("WANDB_API_KEY") or environment.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    host = urlsplit(environment.get("WANDB_BASE_URL") or "https://api.wandb.ai").netloc
    path = Path(environment.get("NETRC") or "~/.netrc").expanduser()
    try:
        return netrc.netrc(path).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False


@contextlib.contextmanager
def _contained(folder: Path) -> Iterator[None]:
    """Keep W&B's staging, cache and settings in `folder`, and its reports of its own crashes at home."""
    values = {
        f"WANDB_{name}_DIR": str(folder / name.lower()) for name in ("DATA", "CACHE", "CONFIG", "ARTIFACT")
    }
    values["WANDB_ERROR_REPORTING"] = os.environ.get("WANDB_ERROR_REPORTING", "false")
    values["WANDB_SILENT"] = "true"
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _quiet_settings(wandb: Any) -> Any:
    return wandb.Settings(
        silent=True,
        console="off",
        disable_git=True,
        disable_code=True,
        x_disable_stats=True,
        x_disable_machine_info=True,
        x_save_requirements=False,
    )
