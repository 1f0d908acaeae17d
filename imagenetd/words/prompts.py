"""Prompt(C, N): every category with every nuisance, each nuisance alone (paper, section 3.1)."""

import string
from collections.abc import Sequence
from dataclasses import dataclass

from imagenetd.config.schema import PromptsConfig
from imagenetd.errors import ConfigError
from imagenetd.records import NUISANCE_KINDS, Kind, Word
from imagenetd.words.english import OBJECT, names_of, noun_phrase, spoken_nuisance
from imagenetd.words.prompt_table import Cell, PromptTable, tabulate
from imagenetd.words.vocabulary import Category


@dataclass(frozen=True, slots=True)
class Name:
    """A name of a category, as the two sorts of template take it."""

    display: str
    """For `{category}`: the cleaned name of the vocabulary."""
    spoken: str
    """For `{phrase}`, see `english.names_of`."""


def build_prompts(
    categories: Sequence[Category],
    nuisances: Sequence[Word],
    templates: PromptsConfig,
    *,
    seed: int,
    num_images_per_cell: int,
) -> PromptTable:
    """Return one prompt for each image: by category, then nuisance (neutral last), then seed index.

    The order is that of the arguments; `index` is the position. The wordings of a cell take turns over the seed
    indices: its templates, and with `num_names` the templates again with each further name of the category. Two cells
    never share a text, since nothing could tell their images apart afterwards.
    """
    if num_images_per_cell < 1:
        raise ConfigError(
            f"num_images_per_cell is {num_images_per_cell}: no image would be made. Set it to 1 or more."
        )
    formats = check_templates(templates)
    names = category_words(categories, templates)
    nothing = [Word(kind=Kind.NEUTRAL, name="", display="")] if templates.include_neutral else []
    cells: list[Cell] = []
    owners: dict[str, tuple[Category, Word]] = {}
    for category in categories:
        for word in (*nuisances, *nothing):
            texts = _wordings(formats[word.kind], names[category.name], word)
            for text in texts:
                owner = owners.setdefault(text, (category, word))
                if owner != (category, word):
                    raise ConfigError(_same_text(text, owner, (category, word)))
            cells.append(Cell(category.name, word.kind.value, word.name, texts))
    _refuse_unused(cells, templates, num_images_per_cell)
    return tabulate(
        cells,
        template_version=templates.template_version,
        seed=seed,
        num_images_per_cell=num_images_per_cell,
        is_paired=templates.include_neutral and templates.paired_noise,
    )


def category_words(categories: Sequence[Category], templates: PromptsConfig) -> dict[str, tuple[Name, ...]]:
    """Return category -> its names in prompts: its own token where there is one, else those of its language."""
    names = {
        category.name: tuple(
            Name(category.display, spoken) for spoken in names_of(category, count=templates.num_names)
        )
        for category in categories
    }
    for name, token in templates.category_tokens.items():
        if name not in names:
            raise ConfigError(
                f"prompts.category_tokens names {name!r}, which is none of the categories of this run. Remove it."
            )
        if not isinstance(token, str) or not token.strip() or OBJECT in token:
            raise ConfigError(f"prompts.category_tokens.{name}={token!r} is no word. Give e.g. '<{name}>'.")
        names[name] = (Name(token, token),)
    return names


def _wordings(formats: Sequence[str], names: Sequence[Name], word: Word) -> tuple[str, ...]:
    """Return the sentences of a cell, each once: all templates with the first name, then with the next."""
    nuisance = spoken_nuisance(word)
    texts = [
        template.format(
            category=name.display, nuisance=word.display, phrase=noun_phrase(name.spoken, nuisance)
        )
        for name in names
        for template in formats
    ]
    return tuple(dict.fromkeys(texts))


def check_templates(templates: PromptsConfig) -> dict[Kind, tuple[str, ...]]:
    """Return the templates of each kind, or raise ConfigError for one that does not hold what its kind needs."""
    if not templates.template_version.strip():
        raise ConfigError(
            "prompts.template_version is empty: rows must say how they were made. Set it to e.g. v1."
        )
    formats = {kind: _as_list(getattr(templates, kind), kind) for kind in (*NUISANCE_KINDS, Kind.NEUTRAL)}
    for kind, several in formats.items():
        needed = {"category"} if kind == Kind.NEUTRAL else {"category", "nuisance"}
        for template in several:
            found = _fields(template, kind)
            if found not in (needed, {"phrase"}):
                holds = " and ".join(f"{{{name}}}" for name in sorted(found)) or "no field"
                wanted = " and ".join(f"{{{name}}}" for name in sorted(needed))
                raise ConfigError(
                    f"prompts.{kind}={template!r} holds {holds}, but must hold exactly {wanted}. "
                    "Correct the template, or write {phrase} alone: both in English."
                )
            if "phrase" not in found and templates.num_names > 1:
                raise ConfigError(
                    f"prompts.num_names={templates.num_names} needs templates with {{phrase}}, but prompts.{kind} is "
                    f"{template!r}. Choose prompts=english, or set prompts.num_names=1."
                )
    return formats


def _refuse_unused(cells: Sequence[Cell], templates: PromptsConfig, num_images_per_cell: int) -> None:
    """Raise ConfigError where further names are asked for and some wording would never be drawn."""
    most = max((len(cell.texts) for cell in cells), default=0)
    if templates.num_names > 1 and most > num_images_per_cell:
        raise ConfigError(
            f"prompts.num_names={templates.num_names} gives cells of up to {most} wordings, but num_images_per_cell is "
            f"{num_images_per_cell}: some would never be drawn. Set num_images_per_cell={most} or more."
        )


def _as_list(given: object, kind: Kind) -> tuple[str, ...]:
    """Return one or several templates as a tuple."""
    several = tuple(given) if isinstance(given, list | tuple) else (given,)
    if not several or not all(isinstance(template, str) for template in several):
        raise ConfigError(f"prompts.{kind}={given!r} is neither a sentence nor a list of sentences.")
    for template in several:
        if several.count(template) > 1:
            raise ConfigError(f"prompts.{kind} has the template {template!r} twice. Remove one.")
    return several  # type: ignore[return-value]


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
