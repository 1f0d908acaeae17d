"""ImageNet-D in the folders of the release, which `export=folder` writes too, or as the FiftyOne export of it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imagenetd.errors import DataError
from imagenetd.images.datasets.dataset import DOCS, Dataset, Listing
from imagenetd.images.datasets.labels import NameResolver, refuse_merged
from imagenetd.images.datasets.own_export import OwnExport, read_own_export
from imagenetd.images.datasets.walk import FoundFile
from imagenetd.records import NUISANCE_KINDS
from imagenetd.store.delimited import read_delimited, read_foreign_json
from imagenetd.words.vocabulary import Category, load_categories

RELEASED = {"background": 3764, "texture": 498, "material": 573}
"""Images of each kind (paper, section 3.4)."""
SAMPLES_FILE = "samples.json"
QUESTION_COLUMNS = ("image_dir", "gt_category", "top1_pred_cate", "top2_pred_cate")


@dataclass(kw_only=True)
class ImageNetDDataset(Dataset):
    """`root/{background,texture,material}/<category>/<id>.png`, or a FiftyOne export with `samples.json`.

    An `images.csv` of `export=folder` beside the folders gives every image its nuisance and prompt.

    Args:
        kinds: Which of background, texture, material.
        check_counts: Stop when the number of images of a kind is not that of the release, or when an image that an
            export's `images.csv` lists is not there.
    """

    kinds: list[str] | None = None
    check_counts: bool = True

    def listing(self, categories: Sequence[Category]) -> Listing:
        """Return the images of the chosen kinds, with the rival category of the released questions."""
        chosen = [str(kind) for kind in (self.kinds or NUISANCE_KINDS)]
        wrong = [kind for kind in chosen if kind not in NUISANCE_KINDS]
        if wrong:
            raise DataError(f"data.kinds names {wrong[0]!r}; ImageNet-D has {', '.join(NUISANCE_KINDS)}.")
        root, found = self.folder(), self.files()
        labels = _sample_labels(root) if (root / SAMPLES_FILE).is_file() else {}
        self._refuse_other_layout(found.files, bool(labels))
        resolver, listing = NameResolver(categories), Listing(ignored=found.ignored)
        rivals, export = _rivals(root, resolver), read_own_export(root)
        for file in found.files:
            if not (file.is_image_by_name or file.problem):
                listing.ignored[f"*{Path(file.parts[-1]).suffix or file.parts[-1]} files"] += 1
                continue
            kind, name = _place(file, labels)
            if kind is None or kind not in chosen:
                listing.ignored["images of other kinds" if kind else "images outside the kinds' folders"] += 1
                continue
            category = resolver.find(name)
            if category is None:
                listing.refuse(file.shown, name, f"label {name!r}")
            else:
                rival = rivals.get((kind, category, file.parts[-1]), "")
                nuisance, prompt = ("", "") if file.problem else export.told(file.shown, category, kind)
                listing.add(file, category, kind, nuisance, rival=rival, text=prompt)
        for kind in chosen:
            names = {
                entry.file.split("/")[-2]
                for entry in listing.entries
                if entry.kind == kind and "/" in entry.file
            }
            refuse_merged(sorted(names), resolver, where=f"data.root={self.root}")
        self.settle(listing, resolver)
        self._check_counts(listing, chosen, len(categories), export)
        return listing

    def _refuse_other_layout(self, files: Sequence[FoundFile], is_export: bool) -> None:
        kinds = {part for file in files for part in file.parts[:-1]} & set(NUISANCE_KINDS)
        if not kinds and not is_export:
            folders = sorted({file.parts[0] for file in files})[:4]
            raise DataError(
                f"data.root={self.root} holds no folder background, texture or material but {', '.join(folders)}. "
                f"Name the folder that holds them, or use data=folder for a plain folder of categories; {DOCS}"
            )

    def _check_counts(
        self, listing: Listing, chosen: Sequence[str], num_categories: int, export: OwnExport
    ) -> None:
        listing.note = export.note(listing.entries, sum(RELEASED[kind] for kind in chosen))
        if not self.check_counts:
            return
        if export.rows:
            files = {entry.file for entry in listing.entries}
            export.refuse_missing(files | {problem.file for problem in listing.problems}, chosen)
            return
        counts = Counter(entry.kind for entry in listing.entries)
        counts.update({kind: 0 for kind in chosen})
        lost = len(listing.problems)
        wrong = [f"{counts[k]:,} of {RELEASED[k]:,} {k}" for k in chosen if counts[k] != RELEASED[k]]
        if wrong and num_categories == 113:
            also = f" ({lost} files cannot be used)" if lost else ""
            raise DataError(
                f"data.root={self.root} holds {', '.join(wrong)} images of the release{also}: the download is not "
                f"complete. Get it again, or evaluate what is there with data.check_counts=false; {DOCS}"
            )


def _place(file: FoundFile, labels: dict[str, tuple[str | None, str]]) -> tuple[str | None, str]:
    """Return kind and category of a file: from its path, which is right where the export's labels are not."""
    folders = file.parts[:-1]
    for position, part in enumerate(folders):
        if part in NUISANCE_KINDS and position + 1 < len(folders):
            return part, folders[position + 1]
    return labels.get(file.shown, labels.get(file.parts[-1], (None, "")))


def _sample_labels(root: Path) -> dict[str, tuple[str | None, str]]:
    """Return file -> kind and label of a FiftyOne export, for media whose path says neither.

    A file is known by its name alone where only one sample has it.
    """
    path = root / SAMPLES_FILE
    content = read_foreign_json(path, title=str(path))
    samples = content.get("samples") if isinstance(content, dict) else None
    if not isinstance(samples, list) or not all(isinstance(sample, dict) for sample in samples):
        raise DataError(f"{path} is no FiftyOne export: a list `samples` is needed. Get it again.")
    found: dict[str, tuple[str | None, str]] = {}
    names = Counter(Path(str(sample.get("filepath", ""))).name for sample in samples)
    for sample in samples:
        tags = sample.get("tags")
        labels = [text for value in sample.values() for text in _label_texts(value)]
        texts = [*labels, *(str(tag) for tag in tags if isinstance(tags, list))] if tags else labels
        kind = next((text for text in texts if text in NUISANCE_KINDS), None)
        label = next((text for text in texts if text not in NUISANCE_KINDS), "")
        file = str(sample.get("filepath", ""))
        if found.setdefault(file, (kind, label)) != (kind, label):
            raise DataError(f"{path} lists {file} twice, as {found[file][1]!r} and {label!r}. Get it again.")
        if names[Path(file).name] == 1:
            found[Path(file).name] = (kind, label)
    return found


def _label_texts(value: Any) -> list[str]:
    if isinstance(value, dict) and isinstance(value.get("label"), str):
        return [value["label"]]
    return [value] if isinstance(value, str) and value in NUISANCE_KINDS else []


def _rivals(root: Path, resolver: NameResolver) -> dict[tuple[str, str, str], str]:
    """Return (kind, category, file name) -> rival: CLIP's best wrong category, as in the paper's questions."""
    rivals: dict[tuple[str, str, str], str] = {}
    everything = NameResolver(tuple(load_categories().values()))
    for kind in NUISANCE_KINDS:
        path = root / "questions" / f"{kind}.csv"
        if not path.is_file():
            continue
        table = read_delimited(
            path, title=str(path), needed=QUESTION_COLUMNS, delimiter="\t", may_be_empty=True
        )
        for row in table.rows:
            for column in QUESTION_COLUMNS[1:]:
                name = row.text(column)
                if resolver.find(name) is None and everything.find(name) is None:
                    raise row.error(column, f"holds {name!r}, which is no category: {everything.hint(name)}")
            truth, first, second = (resolver.find(row.text(name)) for name in QUESTION_COLUMNS[1:])
            rival = second if first == truth else first
            if truth and rival == truth:
                raise row.error(QUESTION_COLUMNS[3], f"names {truth} as its own rival")
            if truth and rival:
                place = (str(kind), truth, Path(row.text("image_dir")).name)
                if rivals.setdefault(place, rival) != rival:
                    raise row.error(
                        "image_dir", f"lists {place[2]} twice, with the rivals {rivals[place]}, {rival}"
                    )
    return rivals
