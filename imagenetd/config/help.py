"""What `python run.py --help` prints, read from the files of `conf/`: Hydra copies its store once for each group."""

from collections.abc import Iterator
from pathlib import Path
from string import Template

import yaml


def help_text(conf_dir: Path) -> str:
    """Return Hydra's own text: the page of `hydra/help` with the choices of every group.

    Args:
        conf_dir: The folder of the configs.
    """
    page = yaml.safe_load((conf_dir / "hydra" / "help" / "imagenetd.yaml").read_text())
    parts = {name: page[name] for name in ("header", "footer")}
    text = page["template"]
    for name, part in parts.items():
        text = text.replace(f"${{hydra.help.{name}}}", part)
    groups = "".join(f"{group}: {', '.join(choices)}\n" for group, choices in _groups(conf_dir))
    return Template(text).safe_substitute(APP_CONFIG_GROUPS=groups)


def _groups(conf_dir: Path) -> Iterator[tuple[str, list[str]]]:
    for folder in sorted(path for path in conf_dir.rglob("*") if path.is_dir()):
        group = folder.relative_to(conf_dir)
        choices = sorted(path.stem for path in folder.glob("*.yaml"))
        if choices and group.parts[0] != "hydra":
            yield str(group), choices
