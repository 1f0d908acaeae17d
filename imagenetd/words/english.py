"""English around the words of a prompt: spoken names as fixed data, and rules for words that nobody has read yet."""

import csv
import functools
import re
from collections.abc import Sequence

from imagenetd import ASSETS_DIR
from imagenetd.records import Kind, Word
from imagenetd.words.vocabulary import Category

ENGLISH_DIR = ASSETS_DIR / "english" / "imagenet_d_v1"
"""Spoken names of the 113 categories and 547 nuisances; never edited in place."""
OBJECT = "|"
"""In a spoken nuisance: the object. In a spoken category: the place of an adjective, `pair of | jeans`."""

# fmt: off
DETERMINERS = frozenset({
    "a", "an", "another", "any", "each", "every", "five", "four", "her", "his", "its", "many", "my", "no", "one",
    "our", "several", "some", "that", "the", "their", "these", "this", "those", "three", "two", "your",
})
"""A phrase that begins with one of these takes no article."""
PREPOSITIONS = frozenset({
    "about", "above", "across", "against", "along", "amid", "among", "around", "at", "behind", "below", "beneath",
    "beside", "between", "beyond", "by", "during", "for", "from", "in", "indoors", "inside", "into", "near", "next",
    "of", "off", "on", "onto", "outdoors", "outside", "over", "past", "through", "to", "toward", "under",
    "underneath", "upon", "with", "within", "without",
})
ON_PLACES = frozenset({
    "airfield", "avenue", "battlefield", "beach", "boardwalk", "boulevard", "bridge", "cliff", "coast", "court",
    "crosswalk", "deck", "desk", "driveway", "escalator", "fairway", "farm", "floor", "freeway", "grass", "gravel",
    "highway", "hill", "ice", "island", "islet", "jetty", "lawn", "ledge", "meadow", "moon", "mountain", "overpass",
    "path", "pavement", "pier", "plain", "plateau", "platform", "playground", "podium", "railway", "ranch", "rink",
    "road", "roof", "rooftop", "runway", "sand", "sandbar", "savanna", "shelf", "shore", "sidewalk", "slope",
    "snowfield", "stage", "staircase", "stairs", "street", "table", "terrace", "track", "trail", "viaduct",
    "volcano", "wharf",
})
"""A thing is on these, not in them."""
PLAYING_FIELDS = frozenset({
    "athletic", "baseball", "cricket", "football", "hockey", "lacrosse", "playing", "rugby", "soccer", "softball",
    "sports",
})
"""A field of these is played on; in another one a thing stands."""
AT_PLACES = frozenset({
    "airport", "camp", "campsite", "carnival", "checkout", "counter", "crossing", "crossroads", "depot", "entrance",
    "fair", "festival", "gate", "intersection", "junction", "kiosk", "newsstand", "oasis", "pool", "resort",
    "roundabout", "seaside", "shrine", "site", "station", "stop", "waterfall", "zoo",
})
PAIRS = frozenset({
    "binoculars", "breeches", "chopsticks", "dungarees", "earphones", "glasses", "goggles", "handcuffs",
    "headphones", "jeans", "knickers", "leggings", "overalls", "pajamas", "pants", "pliers", "pyjamas", "scissors",
    "shears", "shorts", "slacks", "spectacles", "sunglasses", "tights", "tongs", "trousers", "trunks", "tweezers",
    "underpants",
})
"""Plural words for one thing."""
PLURALS = frozenset({
    "cattle", "children", "dice", "feet", "geese", "gnus", "kiwis", "men", "menus", "mice", "people", "police",
    "skis", "taxis", "teeth", "women",
})
"""Plurals that do not end in a plain s."""
SINGULARS = frozenset({
    "albatross", "alias", "asbestos", "atlas", "bias", "canvas", "chaos", "christmas", "cosmos", "gas", "lens",
    "pancreas", "rhinoceros", "series", "species", "thermos",
})
"""No plurals, although they end in s."""
MASSES = frozenset({
    "beer", "bread", "butter", "cheese", "clay", "darkness", "daylight", "dirt", "dust", "fog", "foliage",
    "furniture", "grass", "gravel", "hair", "ice", "jewelry", "juice", "lava", "luggage", "meat", "milk", "mist",
    "moonlight", "moss", "mud", "outdoors", "paper", "rain", "rice", "rubble", "sand", "smoke", "snow", "soup",
    "steam", "sunlight", "sunshine", "tea", "traffic", "vegetation", "water", "wine",
})
"""Words without an article: one thing of them cannot be counted."""
# fmt: on

_AS_YOU = re.compile(
    r"(?:eu|ew|ouija|ubiq|ufo|ugand|uk[ru]|unanim|uni(?![a-z])|uni[cfpqv]|unil(?!l)|union|unis(?!s)|unit|ur[aeio]|us[aeu]"
    r"|ut[aeio]|one(?![a-z])|oneself|once(?![a-z]))",
    re.IGNORECASE,
)
"""Begins with the sound of `you` or of `won`, whatever its letter."""
_SILENT_H = re.compile(r"(?:hour|honest|hono(?:u)?r|heir)", re.I)
_SPOKEN_CAPITALS = frozenset({"NASA", "NATO", "LEGO", "LASER", "RADAR", "SIM", "ROM", "RAM", "LAN", "FIFA"})
_BRACKETS = re.compile(r"\s*[(\[{]([^)\]}]*)[)\]}]?\s*")


def article(phrase: str) -> str:
    """Return `a` or `an`, by the sound of the first word.

    >>> [article(word) for word in ("envelope", "unicorn", "hour", "TV", "X-ray", "8-bit screen", "<my-mug>")]
    ['an', 'a', 'an', 'a', 'an', 'an', 'a']
    """
    letters = re.search(r"[^\W_][\w.'’-]*", phrase)
    word = letters.group() if letters else ""
    if re.match(r"(?:8|1[18](?!\d))", word):  # eight, eleven, eighteen
        return "an"
    first = re.split(r"[-.'’]", word)[0]
    is_spelt = first.isupper() and (1 < len(first) < 6 or len(first) < len(word))
    if is_spelt and first not in _SPOKEN_CAPITALS:  # letter by letter
        return "an" if first[0] in "AEFHILMNORSX" else "a"
    if _SILENT_H.match(word):
        return "an"
    if _AS_YOU.match(word):
        return "a"
    return "an" if word[:1].lower() in "aeiouàáâäéèêëíîïóôöúûü" and word else "a"


def with_article(phrase: str) -> str:
    """Return a noun phrase with its article; plural words and uncounted ones take none.

    >>> with_article("envelope"), with_article("my own mug"), with_article("ancient ruins"), with_article("deep snow")
    ('an envelope', 'my own mug', 'ancient ruins', 'deep snow')
    """
    return phrase if has_article(phrase) or not takes_article(phrase) else f"{article(phrase)} {phrase}"


def has_article(phrase: str) -> bool:
    """Tell whether a phrase begins with an article or another word in its place."""
    return phrase.lower().split()[:1] != [] and phrase.lower().split()[0] in DETERMINERS


def takes_article(phrase: str) -> bool:
    """Tell whether a phrase is about one thing that can be counted: `bowl of soup`, not `soup bowls` or `water`."""
    head = head_of(phrase.split())
    is_mass = head.lower() in MASSES or phrase.lower() in ("space", "outer space")
    return head != "" and not is_plural(head) and not is_mass


def is_plural(word: str) -> bool:
    """Tell whether a noun stands for several things: `ruins`, not `bus`, `lens` or `mechanic's`."""
    word = word.lower().rpartition("-")[2]
    if word in PLURALS or word in PAIRS:
        return True
    return word not in SINGULARS and re.search(r"(?<![siu'’])s$", word) is not None and len(word) > 2


def names_of(category: Category, *, count: int = 1) -> tuple[str, ...]:
    """Return up to `count` names of a category, the spoken one first; `|` where an adjective goes, if not in front."""
    known = _table("categories").get(category.name)
    if known is None:
        return (_own_name(category.display),)
    others = [name.strip() for name in known["synonyms"].split(";") if name.strip()]
    return (known["spoken"], *others)[:count]


def spoken_nuisance(word: Word) -> str:
    """Return the words that a nuisance puts around the object, which stands at `|`.

    >>> spoken_nuisance(Word(Kind.BACKGROUND, "beach-s", "beach")), spoken_nuisance(Word(Kind.TEXTURE, "odd", "odd"))
    ('| on a beach', 'odd |')
    """
    if word.kind == Kind.NEUTRAL:
        return OBJECT
    known = _table(word.kind.value).get(word.name)
    return known["spoken"] if known is not None else _own_nuisance(word)


def noun_phrase(name: str, nuisance: str) -> str:
    """Return the object with its nuisance and article.

    >>> noun_phrase("pair of | jeans", "striped |"), noun_phrase("envelope", "| on a beach")
    ('a pair of striped jeans', 'an envelope on a beach')
    """
    before, _, after = (part.strip() for part in nuisance.partition(OBJECT))
    lead, mark, noun = name.partition(OBJECT)
    core = _joined(lead, before, noun) if mark else _joined(before, name)
    return _joined(with_article(core), after)


def preposition(words: Sequence[str]) -> str:
    """Return `on`, `at` or `in`, by the noun that the name of a place ends with."""
    head = head_of(words).lower()
    if " ".join(words).lower().endswith("food court"):
        return "in"
    if head == "field":
        return "on" if PLAYING_FIELDS & {word.lower() for word in words} else "in"
    return "on" if head in ON_PLACES else "at" if head in AT_PLACES else "in"


def head_of(words: Sequence[str]) -> str:
    """Return the noun that a phrase is about: the last word before a preposition."""
    for place, word in enumerate(words):
        if place and word.lower() in PREPOSITIONS:
            return words[place - 1]
    return words[-1] if words else ""


def _own_name(display: str) -> str:
    """Return a name that no table holds: no brackets, `a cup or a mug`, `pair of | scissors`."""
    several = [_without_brackets(name) for name in re.split(r"\s+or\s+|\s*/\s*", display)]
    if len(several) > 1:
        first, *others = several
        return " or ".join([first, *(with_article(other) for other in others)])
    noun = several[0].removeprefix("pair of ")
    is_pair = noun.rpartition(" ")[2].lower() in PAIRS
    return f"pair of {OBJECT} {noun}" if is_pair else several[0]


def _own_nuisance(word: Word) -> str:
    """Return the words of a nuisance that no table holds, by rules.

    A background that begins with a preposition is taken as it stands.
    """
    said = _without_brackets(word.display)
    words = said.split()
    match word.kind:
        case Kind.BACKGROUND if words and words[0].lower() in PREPOSITIONS:
            return f"{OBJECT} {said}"
        case Kind.BACKGROUND:
            is_name = all(word.isalpha() and word.istitle() for word in words)  # Paris, New York
            return f"{OBJECT} {preposition(words)} {said if is_name else with_article(said)}"
        case Kind.TEXTURE:
            return f"{said} {OBJECT}"
        case _:
            is_adjective = re.search(r"(?<!e)ed$", said) is not None
            return f"{said} {OBJECT}" if is_adjective else f"{OBJECT} made of {said}"


def _without_brackets(text: str) -> str:
    """Return a name without its brackets: what is in them stays only as `for clothes` or `of bread`."""
    said = _BRACKETS.sub(
        lambda found: (
            f" {found[1]} " if found[1].split()[:1] and found[1].split()[0] in PREPOSITIONS else " "
        ),
        text,
    )
    return " ".join(re.sub(r"[()\[\]{}|]", " ", said).split())


def _joined(*parts: str) -> str:
    return " ".join(" ".join(parts).split())


@functools.cache
def _table(name: str) -> dict[str, dict[str, str]]:
    with open(ENGLISH_DIR / f"{name}.csv", newline="", encoding="utf-8") as stream:
        return {row["name"]: row for row in csv.DictReader(stream)}
