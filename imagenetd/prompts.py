"""Prompt(C, N): every category with every nuisance, each nuisance alone (paper, section 3.1)."""

import string
from collections.abc import Mapping, Sequence

from imagenetd.config import PromptsConfig
from imagenetd.errors import ConfigError
from imagenetd.records import NUISANCE_KINDS, Kind, Prompt, Word
from imagenetd.vocabulary import Category


def build_prompts(
    categories: Sequence[Category],
    nuisances: Sequence[Word],
    templates: PromptsConfig,
    *,
    seed: int,
    num_images_per_cell: int,
    include_neutral: bool,
) -> list[Prompt]:
    """Return one prompt for each image: by category, then nuisance (neutral last), then seed index.

    The order is that of the arguments; `index` is the position. Two cells never share a text, since nothing could tell
    their images apart afterwards.
    """
    if num_images_per_cell < 1:
        raise ConfigError(
            f"num_images_per_cell is {num_images_per_cell}: no image would be made. Set it to 1 or more."
        )
    formats = check_templates(templates)
    nothing = [Word(kind=Kind.NEUTRAL, name="", display="")] if include_neutral else []
    rows: list[Prompt] = []
    owners: dict[str, tuple[Category, Word]] = {}
    for category in categories:
        for word in (*nuisances, *nothing):
            text = formats[word.kind].format(category=category.display, nuisance=word.display)
            owner = owners.setdefault(text, (category, word))
            if owner != (category, word):
                raise ConfigError(_same_text(text, owner, (category, word)))
            first = len(rows)
            rows += [
                Prompt(
                    index=first + seed_index,
                    text=text,
                    template_version=templates.template_version,
                    category=category.name,
                    kind=word.kind.value,
                    nuisance=word.name,
                    seed=seed,
                    seed_index=seed_index,
                )
                for seed_index in range(num_images_per_cell)
            ]
    return rows


def check_templates(templates: PromptsConfig) -> Mapping[Kind, str]:
    """Return the template of each kind, or raise ConfigError for one that does not hold what its kind needs."""
    if not templates.template_version.strip():
        raise ConfigError(
            "prompts.template_version is empty: rows must say how they were made. Set it to e.g. v1."
        )
    formats = {kind: getattr(templates, kind) for kind in (*NUISANCE_KINDS, Kind.NEUTRAL)}
    for kind, template in formats.items():
        needed = {"category"} if kind == Kind.NEUTRAL else {"category", "nuisance"}
        found = _fields(template, kind)
        if found != needed:
            holds = " and ".join(f"{{{name}}}" for name in sorted(found)) or "no field"
            wanted = " and ".join(f"{{{name}}}" for name in sorted(needed))
            raise ConfigError(
                f"prompts.{kind}={template!r} holds {holds}, but must hold exactly {wanted}. Correct the template."
            )
    return formats


def _fields(template: str, kind: Kind) -> set[str]:
    """Return the names in braces; formats such as `{category:>9}` and broken braces are errors."""
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        raise ConfigError(
            f"prompts.{kind}={template!r} has broken braces ({error}). Write {{category}}."
        ) from error
    if any(name is not None and (spec or conversion) for _, name, spec, conversion in parts):
        raise ConfigError(
            f"prompts.{kind}={template!r} formats a field. Write the name alone, e.g. {{category}}."
        )
    return {name for _, name, _, _ in parts if name is not None}


def _same_text(text: str, first: tuple[Category, Word], second: tuple[Category, Word]) -> str:
    cells = " and ".join(f"({category.name}, {word.name or word.kind})" for category, word in (first, second))
    return (
        f"The cells {cells} have the same prompt {text!r}, so their images could not be told apart. "
        "Change prompts.* or remove one of the words."
    )
