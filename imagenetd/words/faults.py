"""What is wrong with a prompt as English, by rules that read the sentence alone."""

import functools
import re
from collections.abc import Callable, Iterable, Mapping

from imagenetd.words.english import (
    DETERMINERS,
    PREPOSITIONS,
    article,
    has_article,
    head_of,
    is_plural,
    preposition,
    takes_article,
)

# fmt: off
BUILDINGS = frozenset({
    "bank", "baptistry", "bistro", "brewery", "building", "cabin", "casino", "cathedral", "cavern", "chapel", "church",
    "cloister", "coop", "depot", "diner", "dome", "elevator", "garage", "greenhouse", "gymnasium", "hangar", "hotel",
    "inn", "jail", "kennel", "library", "lodge", "mall", "monastery", "mosque", "museum", "observatory", "outhouse",
    "pilothouse", "planetarium", "plant", "pub", "shop", "station", "store", "synagogue", "tent", "theater", "tower",
    "warehouse",
})
"""Seen from inside or outside; an `outdoor mosque` is another thing than the outside of one."""
NO_MATTER = frozenset({"blackboard", "mirror", "painted material", "sky", "wallpaper"})
"""Nothing is made of these words."""
STOPS = PREPOSITIONS | {"made", "that", "looks", "shows", "like", "photographed", "or", "and"}
"""Words that end a noun phrase."""
# fmt: on


def faults_of(text: str) -> tuple[str, ...]:
    """Return the names of the rules that a prompt breaks.

    >>> faults_of("a photo of a iron (for clothes) in the street"), faults_of("a photo of a clothes iron on a street")
    (('article', 'brackets', 'preposition'), ())
    """
    return tuple(name for name, is_broken in RULES.items() if is_broken(text))


def count_faults(texts: Iterable[str]) -> dict[str, int]:
    """Return rule -> number of prompts that break it, and under `any` those that break one at all."""
    counts = dict.fromkeys([*RULES, "any"], 0)
    for text in texts:
        found = faults_of(text)
        for name in [*found, *(["any"] if found else [])]:
            counts[name] += 1
    return counts


@functools.lru_cache(maxsize=8)
def _noun_phrases(text: str) -> tuple[tuple[list[str], list[str]], ...]:
    """Return the words between two words that end a noun phrase, each with all words before it."""
    words = re.sub(r"[,.;:]|\([^)]*\)|covered(?= in )", " ", text).split()
    ends = [place for place, word in enumerate(words) if word.lower() in STOPS]
    pairs = zip([-1, *ends], [*ends, len(words)], strict=True)
    return tuple(
        (words[start + 1 : end], words[: start + 1]) for start, end in pairs if end > start + 1 and start >= 0
    )


def _wrong_article(text: str) -> bool:
    found = re.finditer(r"\b(an?) (?=\S)", text, re.IGNORECASE)
    return any(match[1].lower() != article(text[match.end() :]) for match in found)


def _wrong_number(text: str) -> bool:
    return any(
        phrase[0].lower() in ("a", "an") and is_plural(head_of(phrase)) for phrase, _ in _noun_phrases(text)
    )


def _lacks_article(text: str) -> bool:
    """Tell whether a noun that can be counted stands alone: `a photo of mug`."""
    return any(
        not has_article(" ".join(phrase)) and takes_article(" ".join(phrase))
        for phrase, before in _noun_phrases(text)
        if before[-2:] != ["made", "of"]
        and before[-1] not in ("looks", "made", "or", "that")
        and [*before[-1:], *phrase] not in (["in", "front"], ["in", "wallpaper"])
    )


def _wrong_preposition(text: str) -> bool:
    return any(
        before[-1:] == ["in"] and phrase[0] in DETERMINERS and preposition(phrase) != "in"
        for phrase, before in _noun_phrases(text)
    )


def _place_word_first(text: str) -> bool:
    return any(
        {"indoor", "outdoor", "interior", "exterior"} & set(phrase) and head_of(phrase) in BUILDINGS
        for phrase, _ in _noun_phrases(text)
    )


def _no_matter(text: str) -> bool:
    made = re.search(r"\bmade of (.+)$", text)
    return made is not None and made[1] in NO_MATTER


RULES: Mapping[str, Callable[[str], bool]] = {
    "article": _wrong_article,
    "number": _wrong_number,
    "bare noun": _lacks_article,
    "brackets": lambda text: re.search(r"[()\[\]{}]", text) is not None,
    "or": lambda text: re.search(r"\bor\b", text) is not None,
    "doubled word": lambda text: re.search(r"\b(\w+) \1\b", text, re.IGNORECASE) is not None,
    "preposition": _wrong_preposition,
    "place word": _place_word_first,
    "made of": _no_matter,
}
"""Rule -> tells whether a sentence breaks it."""
