"""From the names of folders and files to categories: keys, display names, WordNet ids, or a map of one's own."""

import csv
import difflib
import json
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from imagenetd.errors import DataError
from imagenetd.escaping import from_csv_row
from imagenetd.imagenet import NUM_CLASSES, ids_by_wnid, load_classes
from imagenetd.vocabulary import Category, load_categories


def normal_name(name: str) -> str:
    """Return a name without case and punctuation, so that spellings of one category agree.

    >>> normal_name("Binder (closed)"), normal_name("T-shirt"), normal_name("mixing/salad_bowl")
    ('binder_closed', 't_shirt', 'mixing_salad_bowl')
    """
    plain = unicodedata.normalize("NFKC", name).casefold()
    return re.sub(r"[\W_]+", "_", plain).strip("_")


class NameResolver:
    """Tells which category a name means.

    A category answers to its key, its display name, and the WordNet ids of its ImageNet classes.

    Args:
        categories: Of the run.
        aliases: Name -> category key, from a label map; they go before everything else.
    """

    def __init__(self, categories: Sequence[Category], aliases: Mapping[str, str] | None = None) -> None:
        self.categories = {category.name: category for category in categories}
        self._names: dict[str, str] = {}
        for category in categories:
            spellings = [category.name, category.display, category.display.replace(" or ", " ")]
            for spelling in spellings:
                self._names.setdefault(normal_name(spelling), category.name)
            for class_id in category.imagenet_ids:
                self._names.setdefault(load_classes()[class_id].wnid, category.name)
        for alias, key in (aliases or {}).items():
            self._names[normal_name(alias)] = key

    def find(self, name: str) -> str | None:
        """Return the key of the category that a name means, None for an unknown one."""
        return self._names.get(normal_name(name))

    def hint(self, name: str) -> str:
        """Return what to say of an unknown name: another spelling, or why it is not among the categories."""
        if NameResolver(tuple(load_categories().values())).find(name) if len(self.categories) < 113 else None:
            return "it is a category of ImageNet-D, but not among categories.names of this run"
        close = difflib.get_close_matches(normal_name(name), self._names, n=1, cutoff=0.7)
        return f"did you mean {self._names[close[0]]}?" if close else "no category is spelt like it"


def refuse_unknown(
    names: Iterable[str], resolver: NameResolver, *, where: str, remedy: str, examples: int = 3
) -> None:
    """Raise DataError that lists the names that mean no category; none is fine."""
    unknown = list(dict.fromkeys(names))
    if not unknown:
        return
    told = "; ".join(f"{name!r} ({resolver.hint(name)})" for name in unknown[:examples])
    more = f" and {len(unknown) - examples} more" if len(unknown) > examples else ""
    raise DataError(f"{where} holds {len(unknown)} unknown labels: {told}{more}. {remedy}")


def read_label_map(spec: Any) -> dict[str, Any]:
    """Return name -> category key or ImageNet ids, from a mapping, or from a JSON, YAML or CSV file (name,label)."""
    if isinstance(spec, Mapping):
        return {str(name): label for name, label in spec.items()}
    path = Path(str(spec))
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(
            f"data.label_map={spec} cannot be read ({reason}). Name a JSON, YAML or CSV file."
        ) from error
    try:
        content = _parse(path, text)
    except (ValueError, KeyError) as error:
        raise DataError(
            f"data.label_map={spec} is no mapping of names to labels ({str(error).splitlines()[0][:100]}). "
            'Write JSON such as {"my_folder": "alarm_clock", "dogs": [207, 208]}, or CSV with the header name,label.'
        ) from error
    if not isinstance(content, dict) or not content:
        raise DataError(f"data.label_map={spec} holds no mapping of names to labels.")
    return {str(name): label for name, label in content.items()}


def apply_label_map(
    mapping: Mapping[str, Any], categories: Sequence[Category]
) -> tuple[tuple[Category, ...], dict[str, str]]:
    """Return the categories of a label map and name -> category key.

    A label that is the name of a category keeps that category; one that is an ImageNet id, a WordNet id or a list of
    them makes a category of its own, called as the map calls it. With such labels the map is the whole label space.
    """
    resolver = NameResolver(categories)
    made: dict[str, Category] = {}
    aliases: dict[str, str] = {}
    for name, label in mapping.items():
        known = resolver.find(label) if isinstance(label, str) and label not in ids_by_wnid() else None
        if known is not None:
            made.setdefault(known, resolver.categories[known])
            aliases[name] = known
            continue
        ids = _class_ids(name, label)
        made[name] = Category(name, name.replace("_", " ").lower(), ids)
        aliases[name] = name
    if set(made) <= set(resolver.categories):
        return tuple(categories), aliases
    return tuple(made.values()), aliases


def _class_ids(name: str, label: Any) -> tuple[int, ...]:
    labels = label if isinstance(label, list | tuple) else [label]
    ids = [ids_by_wnid().get(one, one) if isinstance(one, str) else one for one in labels]
    ids = [int(one) if isinstance(one, str) and one.isdigit() else one for one in ids]
    known = [one for one in ids if isinstance(one, int) and 0 <= one < NUM_CLASSES]
    if len(known) < len(ids) or not ids:
        raise DataError(
            f"data.label_map gives {name!r} the label {label!r}, which is neither a category nor ImageNet ids "
            f"(0..{NUM_CLASSES - 1} or WordNet ids). Correct the map."
        )
    return tuple(dict.fromkeys(known))


def _parse(path: Path, text: str) -> Any:
    if path.suffix.lower() == ".csv":
        rows = [from_csv_row(row) for row in csv.DictReader(text.splitlines())]
        return {row["name"]: row["label"].split("|") if "|" in row["label"] else row["label"] for row in rows}
    if path.suffix.lower() in (".yaml", ".yml"):
        import yaml

        try:
            return yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ValueError(str(error)) from error
    return json.loads(text)
