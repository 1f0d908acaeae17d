"""What a report showed when it was made, kept so that a finished run is shown again without computing it anew."""

import functools
import hashlib
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from imagenetd import ASSETS_DIR
from imagenetd.stages.run import Run
from imagenetd.store.console import console
from imagenetd.store.folders import content_key, file_seal, write_text_atomic
from imagenetd.store.versions import library_versions

SHOWN_FILE = "terminal.txt"
"""What the terminal showed at the end, with its colours."""
RUN_FILES = ("summary.json", "report.html", "per_image.csv", "unreadable.csv", SHOWN_FILE)


def made_from(run: Run, plugins: Iterable[object]) -> str:
    """Return the hash of all that tables, page and terminal are computed from, the code and its libraries included.

    Args:
        run: Its results have the keys of all that is stored.
        plugins: The reports, whose code may lie outside of the package.
    """
    screen = console()
    stages = [(stage.stage, stage.key, stage.seconds, stage.folder) for stage in run.results]
    return content_key(
        {
            "stages": stages,
            "config": run.plain_config,
            "overrides": list(run.overrides),
            "num_images": run.num_images(),
            "relations": run.relations(),
            "code": code_state(tuple(sorted({type(plugin).__module__ for plugin in plugins}))),
            "versions": library_versions(),
            "screen": [screen.width, screen.is_terminal, screen.color_system],
        }
    )


@functools.cache
def code_state(modules: tuple[str, ...] = ()) -> str:
    """Return a hash of name, size and time of every file of the package and beside these modules' own files."""
    package = ASSETS_DIR.parent
    files = [path for path in package.rglob("*") if path.suffix != ".pyc" and path.is_file()]
    for name in modules:
        place = getattr(sys.modules.get(name), "__file__", None)
        if place and package not in Path(place).parents:
            files += Path(place).parent.glob("*.py")
    stats = ((str(path), path.stat()) for path in sorted(files))
    told = "\n".join(f"{name} {stat.st_size} {stat.st_mtime_ns}" for name, stat in stats)
    return hashlib.sha256(told.encode()).hexdigest()


def keep_shown(folder: Path, renderables: Sequence[RenderableType]) -> None:
    """Write what the terminal shows of these as a file of the run folder."""
    screen = console()
    with screen.capture() as captured:
        for renderable in renderables:
            screen.print(renderable)
    write_text_atomic(folder / SHOWN_FILE, captured.get())


def run_files(folder: Path) -> dict[str, list[int | str]]:
    """Return size and seal of every file that a report writes into its run folder."""
    paths = [folder / name for name in RUN_FILES] + sorted((folder / "tables").rglob("*"))
    return {
        str(path.relative_to(folder)): [path.stat().st_size, file_seal(path)]
        for path in paths
        if path.is_file()
    }


def shown_before(folder: Path, record: Mapping[str, Any] | None, made_of: str) -> Text | None:
    """Return what the terminal showed; None where an input, the code, a file or the screen is another one now."""
    kept = (record or {}).get("shown")
    if not isinstance(kept, dict) or kept.get("made_from") != made_of:
        return None
    if kept.get("files") != run_files(folder) or SHOWN_FILE not in kept["files"]:
        return None
    text = (folder / SHOWN_FILE).read_text(encoding="utf-8")
    return Text.from_ansi(text, no_wrap=True, overflow="ignore")
