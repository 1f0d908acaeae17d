"""The words of ImageNet-D: 113 categories, and 547 nuisances of three kinds, raw and as they stand in prompts."""

import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from imagenetd import ASSETS_DIR
from imagenetd.errors import VocabularyError, nearest
from imagenetd.records import NUISANCE_KINDS, Kind, Word
from imagenetd.store.delimited import read_delimited

VOCABULARY_VERSION = "imagenet_d_v1"
VOCABULARY_DIR = ASSETS_DIR / "vocabularies" / VOCABULARY_VERSION

# fmt: off
PLACE_PARTS = frozenset({
    "interior", "exterior", "entrance", "corridor", "platform", "door", "kitchen", "shop",
    "barrel_storage", "bottle_storage", "massage_room",
})
# fmt: on
"""Qualifiers of a background that are nouns and keep their place: an `elevator door`, not a `door elevator`."""

BACKGROUND_EXCEPTIONS: dict[str, str] = {
    # the hyphen or the qualifier is no hierarchy
    "lean-to-s": "lean-to",
    "desert-vegetation-s": "desert vegetation",
    "elevator-freight_elevator-s": "freight elevator",
    "car_interior-backseat-s": "car backseat",
    "poolroom-establishment-s": "poolroom establishment",
    "temple-east_asia-s": "east asian temple",
    # misspelt in Broden; a text encoder splits the misspelt word into meaningless pieces
    "theater-indoor_procenium-s": "indoor proscenium theater",
    "archaelogical_excavation-s": "archaeological excavation",
    "kindergarden_classroom-s": "kindergarten classroom",
    # Broden drops the apostrophe
    "artists_loft-s": "artist's loft",
    "auto_mechanics-indoor-s": "indoor auto mechanic's",
    "batters_box-s": "batter's box",
    "butchers_shop-s": "butcher's shop",
    "childs_room-s": "child's room",
    "dentists_office-s": "dentist's office",
}
"""Backgrounds for which the rule gives no English."""

MATERIAL_EXCEPTIONS: dict[str, str] = {"painted": "painted material"}
"""Materials that are no noun: an object cannot be `made of painted`."""


@dataclass(frozen=True, slots=True)
class Category:
    """An object of the benchmark and the ImageNet-1k classes that count as right for it."""

    name: str
    """Key, e.g. `binder_closed`: stands in options, paths and tables."""
    display: str
    """Cleaned name as it stands in prompts, e.g. `binder (closed)`."""
    imagenet_ids: tuple[int, ...]


@functools.cache
def load_categories() -> dict[str, Category]:
    """Return the 113 categories of ImageNet-D by key, in the original order."""
    rows = json.loads((VOCABULARY_DIR / "categories.json").read_text(encoding="utf-8"))
    return {
        row["key"]: Category(row["key"], clean_category(row["display"]), tuple(row["imagenet_ids"]))
        for row in rows
    }


def clean_category(display: str) -> str:
    """Return a category's name in words, as ImageNet-D's CLIP evaluation spells it; idempotent.

    >>> clean_category("mixing/salad_bowl"), clean_category("T-shirt"), clean_category("binder_(closed)")
    ('mixing or salad bowl', 't shirt', 'binder (closed)')
    """
    return display.replace("_", " ").replace("-", " ").replace("/", " or ").lower()


def clip_name(category: Category) -> str:
    """Return the name that a zero-shot prompt of CLIP holds."""
    return clean_category(category.display)


def clean_nuisance(kind: Kind | str, raw: str) -> str:
    """Return a nuisance's name in words; each kind has its own rule, since `-` means three different things.

    >>> clean_nuisance("background", "forest-broadleaf-s"), clean_nuisance("background", "elevator-door-s")
    ('broadleaf forest', 'elevator door')
    >>> clean_nuisance("texture", "polka-dotted"), clean_nuisance("material", "plastic-opaque")
    ('polka-dotted', 'opaque plastic')
    """
    match Kind(kind):
        case Kind.BACKGROUND:
            return BACKGROUND_EXCEPTIONS.get(raw) or _clean_background(raw)
        case Kind.TEXTURE:  # the hyphen belongs to the word
            return _spaced(raw)
        case Kind.MATERIAL:
            return MATERIAL_EXCEPTIONS.get(raw) or _qualifier_first(raw)
        case Kind.NEUTRAL:
            return ""


def read_words(spec: Sequence[str] | str, kind: Kind | str) -> tuple[str, ...]:
    """Return the raw names of one kind.

    Args:
        spec: The names themselves, or a CSV file with a `name` column: a path, or a word list of the vocabulary
            (`background.csv`). An empty sequence gives no words; an empty file is an error.
        kind: Stands in messages.
    """
    option = f"nuisances.{kind}"
    if isinstance(spec, str):
        words = _read_csv(spec, option)
        option = f"{option}={spec}"
        if not words:
            raise VocabularyError(
                f"{option} holds no words. Add one name a line below the header `code,name`."
            )
    elif isinstance(spec, Sequence):
        words = list(spec)
    else:
        raise VocabularyError(
            f"{option}={spec!r} is neither a list of names nor a CSV file. Write {option}=[NAME,...]."
        )
    for word in words:
        if not isinstance(word, str) or not word.strip():
            raise VocabularyError(
                f"{option} holds {word!r}, which is no name. Quote it in the yaml file or remove it."
            )
    words = [word.strip() for word in words]
    _refuse_repeated(words, option)
    return tuple(words)


def choose_categories(names: Sequence[str] | str) -> tuple[Category, ...]:
    """Return the named categories in the given order; `all` (or `[all]`) means the 113."""
    known = load_categories()
    if names == "all" or list(names) == ["all"]:
        return tuple(known.values())
    if isinstance(names, str):
        raise VocabularyError(
            f"categories.names={names} is no list. Write categories=[{names}], or categories.names=all."
        )
    if not names:
        raise VocabularyError(
            "categories is empty: nothing can be drawn. Name at least two, e.g. categories=[banana,mug]."
        )
    _refuse_repeated(names, "categories")
    for name in names:
        if name not in known:
            hint = _nearest(str(name), known)
            raise VocabularyError(
                f"categories names {name!r}, which is none of the {len(known)} of {VOCABULARY_VERSION}. {hint}"
            )
    return tuple(known[name] for name in names)


def choose_nuisances(specs: Mapping[str, Sequence[str] | str]) -> tuple[Word, ...]:
    """Return the nuisances of all kinds: backgrounds, textures, materials, each in the given order.

    Args:
        specs: For each kind the argument of `read_words`; a kind that is left out has no words.
    """
    unknown = [kind for kind in specs if kind not in NUISANCE_KINDS]
    if unknown:
        raise VocabularyError(
            f"nuisances has the kind {unknown[0]!r}. The kinds are {', '.join(NUISANCE_KINDS)}."
        )
    chosen: dict[str, Word] = {}
    for kind in NUISANCE_KINDS:
        for raw in read_words(specs.get(kind, ()), kind):
            word = Word(kind=kind, name=raw, display=clean_nuisance(kind, raw))
            other = chosen.setdefault(word.display, word)
            if other is not word:
                raise VocabularyError(_clash(other, word))
    if not chosen:
        raise VocabularyError(
            "nuisances is empty in every kind. Choose e.g. nuisances=tiny, or name at least one word."
        )
    return tuple(chosen.values())


def _clean_background(raw: str) -> str:
    """Strip Broden's mark for a scene and put the qualifier of ADE20K's hierarchy where English has it."""
    place = raw.removesuffix("-s")
    head, _, qualifier = place.partition("-")
    return _spaced(f"{head} {qualifier}") if qualifier in PLACE_PARTS else _qualifier_first(place)


def _qualifier_first(raw: str) -> str:
    head, _, qualifier = raw.partition("-")
    return _spaced(f"{qualifier} {head}" if qualifier else head)


def _spaced(raw: str) -> str:
    return " ".join(raw.replace("_", " ").split())


def _read_csv(name: str, option: str) -> list[str]:
    """Return the `name` column of a CSV file."""
    path = VOCABULARY_DIR / name if Path(name).name == name and not Path(name).is_file() else Path(name)
    try:
        table = read_delimited(
            path,
            title=f"{option}={name}",
            needed=("name",),
            error=VocabularyError,
            may_be_empty=True,
            header="code,name",
        )
    except VocabularyError as error:
        if path.is_file():
            raise
        lists = ", ".join(sorted(file.name for file in VOCABULARY_DIR.glob("*.csv")))
        raise VocabularyError(
            f"{error} Give a list of names, a CSV file's path, or one of {lists}."
        ) from error
    return [row.text("name") for row in table.rows]


def _refuse_repeated(words: Sequence[str], option: str) -> None:
    seen: set[str] = set()
    for word in words:
        if word in seen:
            raise VocabularyError(
                f"{option} holds {word!r} twice. Every word must be there once: remove one of the two."
            )
        seen.add(word)


def _clash(first: Word, second: Word) -> str:
    if first.kind == second.kind:
        words = f"{first.name!r} and {second.name!r}"
        return f"nuisances.{first.kind} holds {words}, which both read {first.display!r}. Remove one."
    return (
        f"The nuisance {second.display!r} is in two kinds, {first.kind} ({first.name}) and {second.kind} "
        f"({second.name}). A nuisance has one kind: remove it from one of the lists."
    )


def _nearest(name: str, known: Iterable[str]) -> str:
    close = nearest(name.lower().replace(" ", "_").replace("-", "_"), known, cutoff=0.5)
    return f"Did you mean {close}?" if close else "Their keys are in categories.json of that vocabulary."
