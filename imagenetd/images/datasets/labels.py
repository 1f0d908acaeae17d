"""From the names of folders and files to categories: keys, display names, WordNet ids, or a map of one's own."""

import math
import re
import reprlib
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from imagenetd.errors import DataError, nearest
from imagenetd.store.delimited import read_delimited, read_file, read_foreign_json
from imagenetd.words.imagenet import NUM_CLASSES, ids_by_wnid, load_classes
from imagenetd.words.vocabulary import Category, load_categories

SPLIT_NAMES = frozenset({"train", "training", "val", "valid", "validation", "test", "testing", "dev", "eval"})
"""Names of folders that are parts of a dataset, not categories."""

_NUMBER = re.compile(r"[+-]?[0-9]*[.]?[0-9]+(?:[eE][+-]?[0-9]+)?|[+-]?[0-9]+[.]")


def normal_name(name: str) -> str:
    """Return a name without case and punctuation, so that spellings of one category agree.

    Symbols and the marks of a script are no punctuation: two emoji, `c` and `c++`, or two vowels of Hindi differ.

    >>> normal_name("Binder (closed)"), normal_name("T-shirt"), normal_name("mixing/salad_bowl")
    ('binder_closed', 't_shirt', 'mixing_salad_bowl')
    """
    plain = unicodedata.normalize("NFKC", name).casefold()
    kept = "".join("_" if unicodedata.category(c).startswith(("P", "Z", "Cc", "Cf")) else c for c in plain)
    return re.sub("_+", "_", kept).strip("_")


class NameResolver:
    """Tells which category a name means.

    A category answers to its key, its display name, and the WordNet ids of its ImageNet classes, whatever their case
    and punctuation. A name that could mean two of them, such as `cardigan` where the categories are the dog and the
    jacket, means the one that is spelt exactly so, or none. A number is a number: `-1` is not `1`.

    Args:
        categories: Of the run.
        aliases: Name -> category key, from a label map; they go before everything else.
    """

    def __init__(self, categories: Sequence[Category], aliases: Mapping[str, str] | None = None) -> None:
        self.categories = {category.name: category for category in categories}
        self._exact: dict[str, str] = {}
        self._normal: dict[str, set[str]] = {}
        self._wnids: dict[str, str] = {}
        self._aliases = dict(aliases or {})
        for category in categories:
            self._exact.setdefault(category.name, category.name)
            for spelling in (category.name, category.display, category.display.replace(" or ", " ")):
                self._normal.setdefault(normal_name(spelling), set()).add(category.name)
            for class_id in category.imagenet_ids:
                self._wnids.setdefault(load_classes()[class_id].wnid, category.name)
        self._normal_aliases: dict[str, set[str]] = {}
        for alias, key in self._aliases.items():  # a name of punctuation alone has one spelling, its own
            self._normal_aliases.setdefault(normal_name(alias) or alias, set()).add(key)

    def find(self, name: str) -> str | None:
        """Return the key of the category that a name means, None for an unknown or ambiguous one."""
        plain = unicodedata.normalize("NFKC", name).strip()
        exact = self._aliases.get(name) or self._aliases.get(plain)
        if exact or _NUMBER.fullmatch(plain):
            return exact
        for known in (self._normal_aliases, self._normal):
            found = known.get(normal_name(name) or name, set())
            if len(found) == 1:
                return next(iter(found))
            if found:
                return self._exact.get(name)
        return self._wnids.get(plain.casefold())

    def is_spelling(self, name: str) -> bool:
        """Tell whether a name was understood by its spelling alone: neither by a label map nor as a WordNet id."""
        plain = unicodedata.normalize("NFKC", name).strip()
        return (
            name not in self._aliases and plain not in self._aliases and plain.casefold() not in self._wnids
        )

    def hint(self, name: str) -> str:
        """Return what to say of an unknown name: another spelling, or why it is not among the categories."""
        if not name.strip():
            return "it has no label"
        plain = unicodedata.normalize("NFKC", name).strip()
        if _NUMBER.fullmatch(plain):
            return "a number without a name: say with data.label_map what it means"
        for known in (self._normal_aliases, self._normal):
            if len(found := known.get(normal_name(name), set())) > 1:
                return f"it may mean {' or '.join(sorted(found))}: spell it exactly"
        if normal_name(name) in SPLIT_NAMES:
            return f"a split: name one, e.g. data.root=.../{name}"
        if NameResolver(tuple(load_categories().values())).find(name) if len(self.categories) < 113 else None:
            return "it is a category of ImageNet-D, but not among categories.names of this run"
        spelt = {**self._normal, **self._normal_aliases}
        close = nearest(normal_name(name), spelt, cutoff=0.7)
        return f"did you mean {min(spelt[close])}?" if close else "no category is spelt like it"


def refuse_merged(names: Iterable[str], resolver: NameResolver, *, where: str) -> None:
    """Raise DataError when names that differ only in case or punctuation would be taken for one category."""
    seen: dict[str, str] = {}
    for name in dict.fromkeys(names):
        category = resolver.find(name)
        if category is None or not resolver.is_spelling(name):
            continue
        other = seen.setdefault(category, name)
        if other != name:
            raise DataError(
                f"{where} holds {other!r} and {name!r}, which both read as {category}. Merge them, or say with "
                "data.label_map what each of them means."
            )


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
    title = f"data.label_map={'{...}' if isinstance(spec, Mapping) else spec}"
    content = spec if isinstance(spec, Mapping) else _parse(Path(str(spec)), title)
    if not isinstance(content, Mapping) or not (content or content is spec):
        raise DataError(
            f"{title} holds no mapping of names to labels. Write JSON such as "
            '{"my_folder": "alarm_clock", "dogs": [207, 208]}, or CSV with the header name,label.'
        )
    return {_map_name(name, title): label for name, label in content.items()}


def _map_name(name: Any, title: str) -> str:
    if isinstance(name, bool) or not isinstance(name, str | int):  # YAML reads no, yes, on, null and 1.5 so
        raise DataError(f"{title} holds the name {name!r}, which is no text. Put it into quotation marks.")
    if not str(name).strip():
        raise DataError(f"{title} holds an empty name. Remove it.")
    return str(name)


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
    owner: dict[int, str] = {}
    for name, label in mapping.items():
        known = resolver.find(label) if isinstance(label, str) and label not in ids_by_wnid() else None
        if known is not None:
            made.setdefault(known, resolver.categories[known])
            aliases[name] = known
            continue
        ids = _class_ids(name, label)
        same = next((key for key, category in made.items() if set(category.imagenet_ids) == set(ids)), None)
        if same is not None:  # two names of one category
            aliases[name] = same
            continue
        made[name] = Category(name, name.replace("_", " ").lower(), ids)
        aliases[name] = name
    for key, category in made.items():
        for class_id in category.imagenet_ids:
            if (other := owner.setdefault(class_id, key)) != key:
                raise DataError(
                    f"data.label_map gives the ImageNet class {class_id} to {other!r} and to {key!r}: an answer would "
                    "be right for both. Give it to one of them."
                )
    if set(made) <= set(resolver.categories):
        return tuple(categories), aliases
    return tuple(made.values()), aliases


def _class_ids(name: str, label: Any) -> tuple[int, ...]:
    labels = label if isinstance(label, list | tuple) else [label]
    ids = [_class_id(one) for one in labels]
    known = [one for one in ids if one is not None]
    if len(known) < len(ids) or not ids:
        raise DataError(
            f"data.label_map gives {name!r} the label {reprlib.repr(label)}, which is neither a category nor "
            f"ImageNet ids (0..{NUM_CLASSES - 1} or WordNet ids). Correct the map."
        )
    return tuple(dict.fromkeys(known))


def _class_id(label: Any) -> int | None:
    """Return the ImageNet class that a WordNet id or a whole number means, 207.0 and "207" included; None: none.

    A text such as "2e2" is none: a spreadsheet has rounded it.
    """
    if isinstance(label, str):
        text = label.strip()
        if text.lower() in ids_by_wnid():
            return ids_by_wnid()[text.lower()]
        label = float(text) if _NUMBER.fullmatch(text) and "e" not in text.lower() else None
    if isinstance(label, bool) or not isinstance(label, int | float):
        return None
    is_class = math.isfinite(label) and label == int(label) and 0 <= label < NUM_CLASSES
    return int(label) if is_class else None


def _parse(path: Path, title: str) -> Any:
    if path.suffix.lower() in (".csv", ".tsv"):
        table = read_delimited(path, title=title, needed=("name", "label"))
        table.refuse_repeated("name")
        labels = {row.text("name"): row.text("label") for row in table.rows}
        return {name: label.split("|") if "|" in label else label for name, label in labels.items()}
    if path.suffix.lower() in (".yaml", ".yml"):
        return _parse_yaml(read_file(path, title=title), title)
    return read_foreign_json(path, title=title)


def _parse_yaml(data: bytes, title: str) -> Any:
    import yaml

    class Once(yaml.SafeLoader):
        """Refuses a name that stands twice, of which plain YAML takes the last, and numbers that are not what they say.

        YAML 1.1 reads 010 as 8, 1_0 as 10 and 12:30 as 750: a folder or a class would be another one.
        """

        def construct_yaml_int(self, node: Any) -> int:
            text = str(self.construct_scalar(node))
            if not re.fullmatch(r"[+-]?(0|[1-9][0-9]*)", text):
                raise DataError(
                    f"{title}, line {node.start_mark.line + 1}: {text[:40]} is {super().construct_yaml_int(node)} to "
                    "YAML. Put it into quotation marks where it is a name; write a class as a plain number."
                )
            return int(text)

        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            if not isinstance(node, yaml.MappingNode):
                raise DataError(
                    f"{title}, line {node.start_mark.line + 1} holds no mapping where it says so."
                )
            names = [str(key.value) for key, _ in node.value]
            twice = [name for name in names if names.count(name) > 1]
            if twice:
                raise DataError(
                    f"{title}, line {node.start_mark.line + 1} on: names {twice[0]!r} twice. Remove one."
                )
            return super().construct_mapping(node, deep)

    Once.add_constructor("tag:yaml.org,2002:int", Once.construct_yaml_int)
    try:
        return yaml.load(data, Loader=Once)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        reason = " ".join(str(error).split())[:120]
        raise DataError(f"{title} is no YAML: {reason}.") from error
