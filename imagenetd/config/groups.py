"""Groups of options: flat names where a user types them, frozen records where the program works with them."""

import dataclasses
import functools
import inspect
import typing
from collections.abc import Callable
from inspect import Parameter
from typing import Any, ClassVar

from imagenetd.config.ranges import check_fields, check_value


class Options:
    """A group of options; a subclass is a frozen dataclass, whose values are checked when it is made."""

    prefix: ClassVar[str] = ""
    """Before the names in messages, e.g. `generator.`."""

    def __post_init__(self) -> None:
        """Raise ConfigError for a value that is out of the range beside its field."""
        check_fields(self, self.prefix)


def takes_options(constructor: Callable[..., None]) -> Callable[..., None]:
    """Return a constructor that checks its options, and takes those of its groups by their own names.

    A parameter whose type is a dataclass is a group, and its default the default of its fields. What the constructor
    says of itself (`inspect.signature`), and so what a yaml may state, are the flat names. A whole group is taken, too.

    Raises:
        ConfigError: For a value that is out of the range beside its field or parameter.
    """
    hints = typing.get_type_hints(constructor, include_extras=True)
    own = inspect.signature(constructor).parameters
    groups = {name: hints[name] for name in own if dataclasses.is_dataclass(hints.get(name))}

    @functools.wraps(constructor)
    def construct(self: Any, *in_order: Any, **named: Any) -> None:
        options = dict(zip([*own][1:], in_order, strict=False)) | named
        for name in options.keys() & own.keys() - groups.keys():
            check_value(options[name], hints[name], name)
        for name in groups.keys() - options.keys():
            fields = [field.name for field in dataclasses.fields(groups[name])]
            given = {field: options.pop(field) for field in fields if field in options}
            default = own[name].default
            has_none = default is Parameter.empty
            options[name] = groups[name](**given) if has_none else dataclasses.replace(default, **given)
        constructor(self, **options)

    flat: list[Parameter] = []
    for name, parameter in own.items():
        flat += _fields(groups[name], parameter) if name in groups else [parameter]
    construct.__signature__ = inspect.Signature(flat)  # type: ignore[attr-defined]
    return construct


def _fields(group: Any, parameter: Parameter) -> list[Parameter]:
    """Return the fields of a group as parameters, with the defaults that the group's own default has."""
    hints = typing.get_type_hints(group, include_extras=True)
    found = []
    for field in dataclasses.fields(group):
        default = field.default
        if parameter.default is not Parameter.empty:
            default = getattr(parameter.default, field.name)
        elif default is dataclasses.MISSING:
            made = field.default_factory
            default = Parameter.empty if made is dataclasses.MISSING else made()
        found.append(
            Parameter(field.name, Parameter.KEYWORD_ONLY, default=default, annotation=hints[field.name])
        )
    return found
