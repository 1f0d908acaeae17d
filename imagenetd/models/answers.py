"""From a chat model's words to one of the options that it was offered, or to none. Pure arithmetic on strings."""

import functools
import json
import re
from collections.abc import Iterable, Sequence

from imagenetd import ASSETS_DIR
from imagenetd.records import LabelSpace
from imagenetd.words.vocabulary import Category, clip_name, load_categories

ALIASES_VERSION = "aliases_v1"
"""Other words for the categories, our own list; part of a model's identity, never edited in place."""

REFUSED, BOTH, NEITHER = "refused", "both", "neither"
OUTCOMES = (REFUSED, BOTH, NEITHER)
"""What an answer can be besides a category: it names none and declines; it names several; it names none."""

_REFUSALS = re.compile(
    r"\b(sorry|cannot|cant|unable to|not able to|do not know|dont know|not sure|unsure|as an ai|no image)\b"
)
_NEGATION = re.compile(
    r"\b(not|no|neither|nor|isnt|wasnt|without|rather than|instead of)( (a|an|the|any|really|actually|of))* $"
)
_IRREGULAR = {"loaf": "loaves", "knife": "knives", "mouse": "mice"}


def clean(text: str) -> str:
    """Return an answer in lower case without punctuation, words one space apart.

    >>> clean("It's a T-shirt (white).")
    'its a t shirt white'
    """
    words = re.sub(r"[^\w]+|_", " ", re.sub(r"['\u2019`]", "", text.lower()))
    return " ".join(words.split())


def plural(phrase: str) -> str:
    """Return a phrase with its last word in the plural, by the regular rules and three words that break them.

    >>> [plural(word) for word in ("pen", "paint brush", "bread loaf", "toy", "cherry")]
    ['pens', 'paint brushes', 'bread loaves', 'toys', 'cherries']
    """
    head, _, last = phrase.rpartition(" ")
    if last in _IRREGULAR:
        many = _IRREGULAR[last]
    elif re.search(r"(s|x|z|ch|sh)$", last):
        many = f"{last}es"
    elif re.search(r"[^aeiou]y$", last):
        many = f"{last[:-1]}ies"
    else:
        many = f"{last}s"
    return f"{head} {many}".strip()


@functools.cache
def phrases() -> dict[str, frozenset[str]]:
    """Return phrase -> the categories that it can mean, longest phrase first.

    A short word can mean several (`bottle`): it counts for the only one of them that is offered, or for none.
    """
    path = ASSETS_DIR / "aliases" / f"{ALIASES_VERSION}.json"
    aliases: dict[str, list[str]] = json.loads(path.read_text(encoding="utf-8"))
    meanings: dict[str, set[str]] = {}
    for key, category in load_categories().items():
        for phrase in (clean(clip_name(category)), *map(clean, aliases[key])):
            for form in (phrase, plural(phrase)):
                meanings.setdefault(form, set()).add(key)
    ordered = sorted(meanings, key=lambda phrase: (-len(phrase), phrase))
    return {phrase: frozenset(meanings[phrase]) for phrase in ordered}


def parse_answer(text: str, offered: Sequence[str]) -> str:
    """Return the category that an answer names, or `refused`, `both`, `neither`.

    Whole phrases of all 113 categories are looked for, the longest first, and taken out of the text when found: in
    `a drying rack for plates` there is no plate left, in `can opener` there never was a pen. A phrase behind a
    negation (`not a`, `rather than a`, ...) does not count. What was not offered does not count either.

    >>> parse_answer("This is a can opener.", ["pen", "can_opener"]), parse_answer("Pens!", ["pen", "mug"])
    ('can_opener', 'pen')
    >>> parse_answer("not a pillow, but a pill bottle", ["pillow", "pill_bottle"])
    'pill_bottle'

    Args:
        text: As the model wrote it.
        offered: Keys of the categories in the question.
    """
    rest = f" {clean(text)} "
    named: set[str] = set()
    for phrase, meant in phrases().items():
        while (place := rest.find(f" {phrase} ")) >= 0:
            chosen = meant & set(offered)
            if len(chosen) == 1 and not _NEGATION.search(rest[: place + 1]):
                named |= chosen
            rest = f"{rest[:place]} | {rest[place + len(phrase) + 2 :]}"
    return _outcome(named, text)


def parse_as_reference(text: str, offered: Sequence[str]) -> str:
    """Return what ImageNet-D's public scoring makes of an answer: lower-case substrings, aliases included.

    An option is named when its name or one of its aliases stands anywhere, also inside another word. The
    published alias table is not ours to copy: ours stands in its place.

    >>> parse_as_reference("This is a can opener.", ["pen", "can_opener"])
    'both'
    """
    low = " ".join(text.lower().split())
    named = {
        key
        for phrase, meant in phrases().items()
        if len(meant & set(offered)) == 1 and phrase in low
        for key in meant & set(offered)
    }
    return _outcome(named, text)


def _outcome(named: set[str], text: str) -> str:
    if len(named) == 1:
        return next(iter(named))
    if named:
        return BOTH
    return REFUSED if not text.strip() or _REFUSALS.search(clean(text)) else NEITHER


def answer_space(categories: Sequence[Category], *, question: str, leaves_out: bool) -> LabelSpace:
    """Return the label space of a model that is asked questions: the categories, then the outcomes without one.

    Args:
        categories: Of the run.
        question: `two-choice` (chance 1/2) or `full-list` (chance 1/N).
        leaves_out: Only clear answers count, as in the reference; a regime of its own.
    """
    regime = f"{question}-answered" if leaves_out else question
    names = tuple(category.name for category in categories)
    accepted: dict[str, tuple[int, ...]] = {name: (place,) for place, name in enumerate(names)}
    return LabelSpace(
        f"{regime}-{len(names)}",
        regime,
        len(names) + len(OUTCOMES),
        accepted,
        (*names, *OUTCOMES),
        fixed_chance=0.5 if question == "two-choice" else 1 / len(names),
        outcomes=OUTCOMES,
        leaves_out=leaves_out,
    )


def is_asked(class_names: Iterable[str]) -> bool:
    """Tell whether the classes are those of a model that is asked questions."""
    return tuple(class_names)[-len(OUTCOMES) :] == OUTCOMES
