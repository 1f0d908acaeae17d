"""What is wrong with a config, in one line: the option, what was found, what to do."""

import dataclasses
import re
from collections.abc import Sequence

from imagenetd.config.schema import CONF_DIR
from imagenetd.errors import ConfigError, nearest


def explain(error: BaseException) -> str:
    """Return what is wrong with a config in one line: the option, what was found, what to do."""
    text = " ".join(str(error).split())
    chain = f"{text} {' '.join(str(error.__cause__).split())}" if error.__cause__ else text
    if found := re.search(r"Could not (?:find|load) '([\w@/.]+)/([^'/]+)'", chain):
        group, choice = found.groups()
        offered = re.search(r"Available options in '[^']+': (.*?) Config search path", chain)
        return f"{group}={choice} is not a choice of {group}. {_choices(group, choice, offered)}"
    if found := re.search(r"Could not (?:find|load) '([\w@/.]+)/'", chain):
        return f"{found[1]}= names no choice. {_choices(found[1])}"
    if found := re.search(r"(.*) See https://hydra.cc\S+/override_grammar", chain):
        return (
            f"The command line cannot be read: {found[1].strip()}. Write OPTION=VALUE; a value with spaces or special "
            "signs stands in quotes, e.g. 'name=\"a (b)\"'."
        )
    if found := re.search(r"Could not override '([^']+)'", chain):
        return f"{found[1]} is not an option. {_nearest_option(found[1])}"
    if found := re.search(
        r"Key '([^']+)' (?:is not in struct|not in '\w+')(?:.*?full_key: ([\w.]+))?", chain
    ):
        name = found[2] or found[1]
        return f"{name} is not an option. {_nearest_option(name)}"
    if found := re.search(r"'(\w*)Config' object has no attribute '(\w+)'", chain):
        name = found[2] if not found[1] else f"{found[1].lower()}.{found[2]}"
        return f"{name} is not an option. {_nearest_option(name)}"
    if found := re.search(r"field '([\w.]+)' is not Optional", chain):
        return f"{found[1]}=null: this option needs a value."
    if found := re.search(
        r"(Value '.*?' of type '\w+' .*?|Invalid value '.*?'.*?) full_key: ([\w.\[\]]+)", chain
    ):
        return f"{found[2]}: {found[1].strip()}. Give a value of the right type."
    if found := re.search(r"Missing mandatory value: .*?full_key: ([\w.\[\]]+)", chain):
        return f"{found[1]} must be given: {found[1]}=VALUE."
    if found := re.search(r"(.*?) full_key: ([\w.\[\]]+)", chain):
        return f"{found[2]}: {found[1].strip()}"
    return text or type(error).__name__


def name_empty_groups(overrides: Sequence[str]) -> None:
    """Raise ConfigError for `group=null`, of which Hydra says only that it is no string."""
    for override in overrides:
        group, _, value = override.partition("=")
        if value == "null" and (CONF_DIR / group.split("@")[0]).is_dir():
            raise ConfigError(f"{group}=null names no choice. {_choices(group)}")


def _choices(group: str, choice: str = "", offered: re.Match[str] | None = None) -> str:
    known = sorted(path.stem for path in (CONF_DIR / group.split("@")[0]).glob("*.yaml"))
    known = known or (offered[1].split() if offered else [])
    if not known:
        return f"There is no group {group}; see python run.py --help."
    close = nearest(choice, known)
    hint = f"Did you mean {group}={close}? " if close else ""
    return f"{hint}Choices: {', '.join(known)}."


def _nearest_option(name: str) -> str:
    from imagenetd.config.schema import Config

    known = [field.name for field in dataclasses.fields(Config)]
    for field in dataclasses.fields(Config):
        if dataclasses.is_dataclass(field.type):
            known += [f"{field.name}.{inner.name}" for inner in dataclasses.fields(field.type)]
    for path in CONF_DIR.glob("*/*.yaml"):
        known += [
            f"{path.parent.name}.{key}" for key in re.findall(r"^(\w+):", path.read_text(), re.MULTILINE)
        ]
    close = nearest(name.lstrip("+~"), known)
    return f"Did you mean {close}?" if close else "See python run.py --help, or --cfg job for every option."
