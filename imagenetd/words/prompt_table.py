"""The prompts of a run as columns: ten million of them are a few arrays, and a row is made when it is asked for."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from imagenetd.records import Prompt

CHUNK = 65_536
"""Rows that are turned into Python objects, or into text for a key, at a time."""

NAMES = [field.name for field in fields(Prompt)]

OPTIONAL = {field.name: field.default for field in fields(Prompt) if field.name in ("template_index", "pair")}
"""Columns that stand in a key only when they say anything, so that older tables keep their keys."""


class PromptTable(Sequence[Prompt]):
    """A sequence of prompts, one for each image, ordered by index.

    Args:
        table: The columns of Prompt.
    """

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    @classmethod
    def of(cls, rows: Iterable[Prompt]) -> "PromptTable":
        """Return rows as a table."""
        rows = list(rows)
        columns = {name: [getattr(row, name) for row in rows] for name in NAMES}
        return cls(pa.table(columns, schema=arrow_schema(Prompt)))

    def __len__(self) -> int:
        return self.table.num_rows

    @overload
    def __getitem__(self, place: int) -> Prompt: ...
    @overload
    def __getitem__(self, place: slice) -> list[Prompt]: ...
    def __getitem__(self, place: int | slice) -> Prompt | list[Prompt]:
        if isinstance(place, slice):
            first, stop, step = place.indices(len(self))
            if step == 1:
                return self._rows(first, stop - first)
            return [self[index] for index in range(first, stop, step)]
        if not -len(self) <= place < len(self):
            raise IndexError(place)
        return self._rows(place % len(self), 1)[0]

    def __iter__(self) -> Iterator[Prompt]:
        for first in range(0, len(self), CHUNK):
            yield from self._rows(first, CHUNK)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and len(self) == len(other) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def _rows(self, first: int, count: int) -> list[Prompt]:
        part = self.table.slice(first, max(0, count))
        return [Prompt(*row) for row in zip(*(part[name].to_pylist() for name in NAMES), strict=True)]

    def distinct(self, column: str) -> list[str]:
        """Return the different values of a column, in the order of their first rows."""
        return pc.unique(self.table[column]).to_pylist()

    def counts(self, column: str) -> dict[str, int]:
        """Return value -> number of rows, in the order of their first rows."""
        found = pc.value_counts(self.table[column].combine_chunks())
        return {row["values"]: row["counts"] for row in found.to_pylist()}

    def one_of_each_cell(self) -> list[Prompt]:
        """Return the first row of each (category, kind, nuisance)."""
        names = ["category", "kind", "nuisance"]
        plain = self.table.select(["index", *names]).cast(
            pa.schema([("index", pa.int64())] + [(n, pa.string()) for n in names])
        )
        firsts = plain.group_by(names).aggregate([("index", "min")])["index_min"].to_numpy()
        return [Prompt(**row) for row in self.table.take(np.sort(firsts)).to_pylist()]

    def as_json(self) -> Iterator[bytes]:
        """Yield the rows as `json.dumps` writes them with sorted keys, separated by `, `, a chunk at a time."""
        names = sorted(name for name in self.table.column_names if name not in OPTIONAL or self._says(name))
        for first in range(0, len(self), CHUNK):
            part = self.table.slice(first, CHUNK).select(names)
            pieces: list[Any] = []
            for number, name in enumerate(names):
                pieces += [f"{', ' if number else '{'}{json.dumps(name)}: ", _json_values(part[name])]
            text = ", ".join(pc.binary_join_element_wise(*pieces, "}", "").to_pylist())
            yield f"{', ' if first else ''}{text}".encode()

    def _says(self, name: str) -> bool:
        column = self.table[name]
        return bool(
            pc.any(pc.not_equal(column.cast(arrow_schema(Prompt).field(name).type), OPTIONAL[name])).as_py()
        )


def _json_values(column: pa.ChunkedArray) -> pa.Array:
    """Return each value as JSON spells it; a text is spelt once however often it stands there."""
    array = column.combine_chunks()
    if pa.types.is_integer(array.type):
        return array.cast(pa.string())
    coded = array if pa.types.is_dictionary(array.type) else array.dictionary_encode()
    spelt = pa.array([json.dumps(text) for text in coded.dictionary.to_pylist()], pa.string())
    return spelt.take(coded.indices)


def arrow_schema(record: Any) -> pa.Schema:
    """Return the Arrow types of a record of records.py."""
    arrow: dict[Any, pa.DataType] = {int: pa.int64(), float: pa.float64(), str: pa.string(), bool: pa.bool_()}
    arrow[float | None] = pa.float64()
    return pa.schema([(field.name, arrow[field.type]) for field in fields(record)])


@dataclass(frozen=True, slots=True)
class Cell:
    """A category with a nuisance, and the sentences that its images are made from in turn."""

    category: str
    kind: str
    nuisance: str
    texts: tuple[str, ...]
    """Image i of the cell takes text i modulo their number."""


def tabulate(
    cells: Sequence[Cell], *, template_version: str, seed: int, num_images_per_cell: int, is_paired: bool
) -> PromptTable:
    """Return `num_images_per_cell` rows for each cell, cell by cell; the work grows with the cells, not the images.

    Args:
        cells: In their order.
        template_version: Stands in every row.
        seed: Stands in every row.
        num_images_per_cell: 1 or more.
        is_paired: Give the images of one category and seed index the same noise.
    """
    count, each = len(cells), num_images_per_cell
    cell_of, seed_index = np.repeat(np.arange(count), each), np.tile(np.arange(each), count)
    num_texts = np.array([len(cell.texts) for cell in cells])
    template = seed_index % num_texts[cell_of]
    first_text = np.concatenate([[0], np.cumsum(num_texts)[:-1]])
    names = list(dict.fromkeys(cell.category for cell in cells))
    place = {name: number for number, name in enumerate(names)}
    category_of = np.array([place[cell.category] for cell in cells])[cell_of]
    pairs = [f"{name}/{seed}/{number}" for name in names for number in range(each)] if is_paired else [""]
    pair_of = category_of * each + seed_index if is_paired else np.zeros(count * each, dtype=np.int64)
    columns: dict[str, Any] = {
        "index": np.arange(count * each),
        "text": _coded(first_text[cell_of] + template, [text for cell in cells for text in cell.texts]),
        "template_version": _coded(np.zeros(count * each, dtype=np.int64), [template_version]),
        "category": _coded(category_of, names),
        "kind": _coded(cell_of, [cell.kind for cell in cells]),
        "nuisance": _coded(cell_of, [cell.nuisance for cell in cells]),
        "seed": np.full(count * each, seed),
        "seed_index": seed_index,
        "template_index": template,
        "pair": _coded(pair_of, pairs),
    }
    return PromptTable(pa.table({field.name: columns[field.name] for field in fields(Prompt)}))


def _coded(codes: np.ndarray, values: list[str]) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32()), pa.array(values, pa.string()))
