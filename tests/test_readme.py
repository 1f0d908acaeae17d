"""Every command that the documentation shows is one that the program takes; every file that it links to is there."""

import re
import shlex
from pathlib import Path

import pytest

from imagenetd.config.schema import register
from imagenetd.config.spelling import spell_out
from imagenetd.stages.preflight import check_overrides
from imagenetd.store import remote

register()
ROOT = Path(__file__).parent.parent
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "experiments").rglob("README.md")),
]
HELP = ROOT / "conf" / "hydra" / "help" / "imagenetd.yaml"


def commands(page: Path, start: str) -> list[str]:
    """Return the commands of a page that begin with `start`, without comments; continued lines are joined."""
    text = re.sub(r"\\\n\s*", "", page.read_text())
    found = re.findall(rf"^\s*({re.escape(start)}[^\n#]*)", text, re.MULTILINE)
    return [re.split(r"\s{4,}", command.strip())[0] for command in found]


# What docs/adding.md shows needs the files that it adds: tests/test_adding.py follows that page.
SHOWN = [*(page for page in PAGES if page.name != "adding.md"), HELP]


@pytest.mark.parametrize("page", SHOWN, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_shown_composes(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(remote, "check", lambda url: None)  # the bucket of an example is nobody's
    for command in commands(page, "python run.py"):
        arguments = [spell_out(word) for word in shlex.split(command)[2:]]
        if "--help" not in arguments:
            check_overrides(arguments)


def test_the_readme_shows_the_commands_that_matter() -> None:
    shown = commands(ROOT / "README.md", "python run.py")
    assert any(
        command.startswith("python run.py -m surrogates=one_tiny,two_tiny,three_tiny,four_tiny")
        for command in shown
    )
    assert "python run.py experiment=imagenet_d target=vit_l trainer=gpu" in shown


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
        assert target.startswith("https://") or (page.parent / target).exists(), target


def test_every_make_target_of_the_readme_exists() -> None:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for name in re.findall(r"^make (\w+)", (ROOT / "README.md").read_text(), re.MULTILINE):
        assert name in targets
