"""Options in groups: a plug-in takes flat names, and works with records."""

import inspect
from dataclasses import dataclass
from typing import Annotated, Any

import pytest

from imagenetd.config.groups import Options, takes_options
from imagenetd.config.ranges import Count, Range
from imagenetd.config.schema import build
from imagenetd.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Size(Options):
    prefix = "size."
    height_px: Count
    width_px: Count = 8


@dataclass(frozen=True, kw_only=True)
class Origin:
    family: str = "none"


class Plug:
    @takes_options
    def __init__(
        self,
        *,
        size: Size,
        origin: Origin = Origin(family="clip"),
        share: Annotated[float, Range(0, 1)] = 0.5,
    ) -> None:
        self.size, self.origin, self.share = size, origin, share


SPEC: dict[str, Any] = {"_target_": "tests.test_groups.Plug", "height_px": 4}


def test_the_options_of_a_plug_in_are_the_fields_of_its_groups_with_their_defaults() -> None:
    found = {name: option.default for name, option in inspect.signature(Plug).parameters.items()}
    assert found == {
        "height_px": inspect.Parameter.empty,
        "width_px": 8,
        "family": "clip",
        "share": 0.5,
    }


def test_flat_options_become_records() -> None:
    made = Plug(height_px=4, family="resnet")
    assert (made.size, made.origin, made.share) == (
        Size(height_px=4, width_px=8),
        Origin(family="resnet"),
        0.5,
    )


def test_a_group_is_also_taken_as_a_whole() -> None:
    assert Plug(size=Size(height_px=2, width_px=3)).size.width_px == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"height_px": 0}, r"^plug\.height_px=0 must be 1 or more\.$"),
        ({"share": 2}, r"^plug\.share=2 must be 1 or less\.$"),
        ({"widht_px": 4}, r"^plug\.widht_px is not an option of plug: did you mean plug\.width_px\?$"),
        ({"height_px": "4"}, r"^plug\.height_px='4' is a str, but int is needed\.$"),
    ],
)
def test_a_yaml_is_told_the_name_that_it_states(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(SPEC | changes, option="plug")


def test_a_program_is_told_the_same() -> None:
    with pytest.raises(ConfigError, match=r"^size\.height_px=0 must be 1 or more\.$"):
        Plug(height_px=0)
    with pytest.raises(ConfigError, match=r"^share=2 must be 1 or less\.$"):
        Plug(height_px=4, share=2)
