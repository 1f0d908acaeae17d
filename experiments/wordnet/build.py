"""Makes `imagenetd/assets/wordnet/imagenet_v1/` from WordNet 3.0 and from what timm knows about ImageNet.

    apt-get download wordnet-base && dpkg -x wordnet-base_*.deb wordnet
    python -m experiments.wordnet.build wordnet/usr/share/wordnet/data.noun

Seconds on one core. The files are versioned and never edited in place.
"""

import argparse
import collections
import csv
import io
import itertools
import json
from pathlib import Path

import timm

from imagenetd.store.folders import write_text_atomic
from imagenetd.words.wordnet import WORDNET_DIR

INFO = Path(timm.__file__).parent / "data" / "_info"
MIN_SHARE = 0.3
"""Two labels that stand together on this share of the photographs with either are one object to people."""


def main() -> None:
    """Read WordNet's nouns and ImageNet's labels, write two CSV files."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("nouns", type=Path, help="WordNet 3.0's data.noun")
    nouns = read_nouns(parser.parse_args().nouns)
    classes = (INFO / "imagenet_synsets.txt").read_text().split()
    above = ancestors(classes, nouns)
    rows = [(wnid, nouns[wnid][0], " ".join(nouns[wnid][1])) for wnid in sorted(above)]
    _write("synsets.csv", ("wnid", "name", "parents"), rows)
    labels = json.loads((INFO / "imagenet_real_labels.json").read_text())
    _write("co_labels.csv", ("first", "second", "share"), co_labels(labels))


def read_nouns(path: Path) -> dict[str, tuple[str, list[str]]]:
    """Return the first word and the hypernyms of every noun synset, by id (`n` and eight digits)."""
    nouns = {}
    for line in path.read_text().splitlines():
        if line.startswith("  "):  # the licence
            continue
        fields = line.split("|")[0].split()
        num_words = int(fields[3], 16)
        pointers = fields[4 + 2 * num_words + 1 :]
        parents = [
            f"n{pointers[i + 1]}" for i in range(0, len(pointers) - 3, 4) if pointers[i] in ("@", "@i")
        ]
        nouns[f"n{fields[0]}"] = (fields[4], parents)
    return nouns


def ancestors(classes: list[str], nouns: dict[str, tuple[str, list[str]]]) -> set[str]:
    """Return the classes and every synset above one of them."""
    found: set[str] = set()
    pending = list(classes)
    while pending:
        wnid = pending.pop()
        if wnid not in found:
            found.add(wnid)
            pending += nouns[wnid][1]
    return found


def co_labels(labels: list[list[int]]) -> list[tuple[int, int, float]]:
    """Return the pairs of classes that people gave to the same validation photographs, with the share of them."""
    alone: collections.Counter[int] = collections.Counter()
    together: collections.Counter[tuple[int, int]] = collections.Counter()
    for found in labels:
        alone.update(found)
        together.update(itertools.combinations(sorted(found), 2))
    shares = [(a, b, n / (alone[a] + alone[b] - n)) for (a, b), n in sorted(together.items())]
    return [(a, b, round(share, 3)) for a, b, share in shares if share >= MIN_SHARE]


def _write(name: str, header: tuple[str, ...], rows: list[tuple[object, ...]] | list) -> None:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_text_atomic(WORDNET_DIR / name, stream.getvalue())


if __name__ == "__main__":
    main()
