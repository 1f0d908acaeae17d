"""What a user may type that Hydra spells otherwise."""

import re
from collections.abc import Sequence


def spell_out(argument: str) -> str:
    """Turn a list of words given to a vocabulary group into the option behind it.

    >>> spell_out("categories=[banana,mug]"), spell_out("categories=tiny")
    ('categories.names=[banana,mug]', 'categories=tiny')

    Letters beyond ASCII are put in quotes, which Hydra's grammar asks for.

    >>> spell_out("paths.output_dir=/data/Zoë")
    "paths.output_dir='/data/Zoë'"
    """
    option, equals, value = argument.partition("=")
    if equals and not value.isascii() and not re.search(r"[\[\]{},'\"]", value):
        return f"{option}='{value}'"
    return re.sub(r"^categories=(?=\[)", "categories.names=", argument)


def in_order(arguments: Sequence[str]) -> list[str]:
    """Put `-m` first: behind an option Hydra would not know what follows it.

    >>> in_order(["seed=0,1", "-m", "target=vit_l"])
    ['-m', 'seed=0,1', 'target=vit_l']
    """
    return sorted(arguments, key=lambda argument: argument not in ("-m", "--multirun"))
