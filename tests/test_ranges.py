"""Every number of the config has a range beside its field or argument, and what is outside is refused."""

import dataclasses
import inspect
import math
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
import yaml
from hydra.utils import get_object

from imagenetd.config import ranges
from imagenetd.config.ranges import MayBeEmpty, Range, check_value, plain_type, unbounded
from imagenetd.config.schema import CONF_DIR, Config, build
from imagenetd.errors import ConfigError

YAMLS = sorted(CONF_DIR.rglob("*.yaml"))


def fields_of(kind: type, prefix: str = "") -> Iterator[tuple[str, Any]]:
    hints = typing.get_type_hints(kind, include_extras=True)
    for field in dataclasses.fields(kind):
        if dataclasses.is_dataclass(hints[field.name]):
            yield from fields_of(hints[field.name], f"{prefix}{field.name}.")
        else:
            yield f"{prefix}{field.name}", hints[field.name]


def specs_of(content: Any) -> Iterator[dict[str, Any]]:
    if isinstance(content, dict):
        if content.get("_target_"):
            yield content
        for value in content.values():
            yield from specs_of(value)


def plug_ins() -> dict[str, dict[str, Any]]:
    """Return each class that a yaml names, with one of its uses."""
    specs = [spec for path in YAMLS for spec in specs_of(yaml.safe_load(path.read_text()))]
    return {spec["_target_"]: spec for spec in specs}


def arguments() -> Iterator[tuple[str, Any]]:
    for target in plug_ins():
        for name, parameter in inspect.signature(get_object(target)).parameters.items():
            if parameter.kind is not parameter.VAR_KEYWORD:
                yield f"{target}.{name}", parameter.annotation


EVERYTHING = {**dict(fields_of(Config)), **dict(arguments())}


def ranges_in(annotation: Any) -> Iterator[Range]:
    if typing.get_origin(annotation) is Annotated:
        yield from (bounds for bounds in annotation.__metadata__ if isinstance(bounds, Range))
    for inner in typing.get_args(annotation):
        yield from ranges_in(inner)


BOUNDED = {option: (hint, next(ranges_in(hint))) for option, hint in EVERYTHING.items() if [*ranges_in(hint)]}


def test_no_number_is_without_a_range() -> None:
    assert len(EVERYTHING) > 250 and len(BOUNDED) > 130
    assert [option for option, hint in EVERYTHING.items() if unbounded(hint)] == []
    assert [option for option, hint in EVERYTHING.items() if hint is inspect.Parameter.empty] == []


def wrapped(number: float, hint: Any) -> Any:
    """Put a number where the annotation has it: alone, in a list, or in a mapping."""
    inner = [choice for choice in typing.get_args(hint) if [*ranges_in(choice)]]
    if typing.get_origin(hint) is Annotated and inner:  # the range is of what is within
        return wrapped(number, inner[0])
    if typing.get_origin(hint) is list:
        return [number] * 3
    if typing.get_origin(hint) is dict:
        return {"key": number}
    is_union = typing.get_origin(hint) is not Annotated and inner
    return wrapped(number, inner[0]) if is_union else number


@pytest.mark.parametrize("option", sorted(BOUNDED))
def test_what_is_outside_a_range_is_refused_and_its_ends_are_taken(option: str) -> None:
    hint, bounds = BOUNDED[option]
    assert math.isfinite(bounds.low) and math.isfinite(bounds.high) and bounds.low < bounds.high
    for number in (bounds.low - 1, bounds.high + 1, 10**400, -(10**400), math.nan, math.inf, -math.inf):
        with pytest.raises(ConfigError, match="must be") as caught:
            check_value(wrapped(number, hint), hint, option)
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 300
    for number, is_open in ((bounds.low, bounds.open_low), (bounds.high, bounds.open_high)):
        if is_open:
            with pytest.raises(ConfigError, match="must be (above|below)"):
                check_value(wrapped(number, hint), hint, option)
        else:
            check_value(wrapped(number, hint), hint, option)


@pytest.mark.parametrize("path", YAMLS, ids=lambda path: str(path.relative_to(CONF_DIR)))
def test_every_number_of_a_yaml_is_in_its_range(path: Path) -> None:
    content = yaml.safe_load(path.read_text()) or {}
    group = ".".join(path.relative_to(CONF_DIR).parts[:-1])
    options: list[tuple[str, Any, Any]] = [
        (f"{spec['_target_']}.{name}", value, EVERYTHING.get(f"{spec['_target_']}.{name}"))
        for spec in specs_of(content)
        for name, value in spec.items()
    ]
    options += [
        (f"{group}.{name}", value, EVERYTHING.get(f"{group}.{name}")) for name, value in content.items()
    ]
    for option, value, hint in options:
        if hint is not None and value != "???" and not (isinstance(value, str) and "${" in value):
            check_value(value, hint, option)


def test_a_plug_in_is_told_which_number_cannot_be_meant() -> None:
    spec = plug_ins()["imagenetd.images.generators.render.RenderGenerator"]
    with pytest.raises(ConfigError, match=r"^generator\.unit_size=0 must be 1 or more\.$"):
        build({**spec, "unit_size": 0}, option="generator")
    with pytest.raises(ConfigError, match=r"^generator\.unit_size=10{39}\.\.\. must be 65536 or less\.$"):
        build({**spec, "unit_size": 10**400}, option="generator")


@pytest.mark.parametrize(
    ("number", "message"),
    [(0, "above 0"), (1.0, "below 1"), (math.nan, "a number, above 0 and below 1"), (-3, "above 0")],
)
def test_a_message_says_the_end_that_was_missed(number: float, message: str) -> None:
    assert Range(0, 1, open_low=True, open_high=True).wanted(number) == message


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Seed", Range(0, 2**63 - 1)),
        ("Count", Range(1, 10**9)),
        ("AnyCount", Range(0, 10**9)),
        ("Batch", Range(1, 65_536)),
        ("Draws", Range(1, 10**6)),
        ("Pixels", Range(1, 16_384)),
        ("Share", Range(0, 1)),
        ("OpenShare", Range(0, 1, open_low=True, open_high=True)),
        ("Accuracy", Range(0.5, 1, open_low=True, open_high=True)),
        ("Megabytes", Range(0, 10**7)),
        ("Days", Range(0, 3650, open_low=True)),
    ],
)
def test_the_ranges_that_have_a_name(name: str, expected: Range) -> None:
    assert next(ranges_in(getattr(ranges, name))) == expected


def test_a_long_number_is_cut_behind_forty_digits() -> None:
    for digits in (39, 40, 41):
        with pytest.raises(ConfigError) as caught:
            check_value(int("7" * digits), ranges.Seed, "seed")
        shown = "7" * min(digits, 40) + ("..." if digits > 40 else "")
        assert str(caught.value).startswith(f"seed={shown} must be")


def test_an_empty_text_or_list_is_refused_where_it_says_nothing() -> None:
    with pytest.raises(ConfigError, match=r"^name is empty\. Give name=VALUE\.$"):
        check_value("", str, "name")
    with pytest.raises(ConfigError, match=r"^tags is empty\. Give tags=\[VALUE,\.\.\.\]\.$"):
        check_value([], list[str], "tags")
    check_value("", Annotated[str, MayBeEmpty()], "name")
    check_value([], Annotated[list[str], MayBeEmpty()], "tags")
    check_value([], Any, "anything")  # its reader decides


def test_a_type_is_told_without_its_range() -> None:
    assert plain_type(ranges.Seed) is int
    assert plain_type(str) is str and plain_type(list[int]) == list[int]
