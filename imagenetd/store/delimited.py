"""The one reader of tables and JSON that other programs wrote: their quirks are read, their mistakes named.

Read without a word, because the meaning is plain: a byte-order mark (UTF-8, UTF-16), any line ends, `;` or a tab for a
comma, Excel's `sep=;`, blank lines and lines of empty cells, blanks around a cell, empty cells beyond the header, `3.0`
for 3, names of columns in another case, and an apostrophe before what a spreadsheet would take for a formula.
Everything else is one line with file, line and column.
"""

import codecs
import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from imagenetd.errors import DataError, UserError
from imagenetd.store.escaping import from_csv, shown

DELIMITERS = (",", ";", "\t", "|")
MAX_CELL_CHARACTERS = 2**27
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_INTEGER = re.compile(r"([+-]?[0-9]{1,30})(?:\.0*)?")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?')


@dataclass(frozen=True, slots=True)
class DelimitedRow:
    """One line of a table; what it cannot give is an error with file, line and column."""

    table: "DelimitedTable"
    line: int
    """Of the file, from 1; of a cell that spans lines, the first."""
    cells: tuple[str, ...]

    def has(self, column: str) -> bool:
        """Tell whether the table has a column and this line something in it."""
        return column in self.table.columns and bool(self.cells[self.table.position(column)].strip())

    def raw(self, column: str) -> str:
        """Return a cell as it stands, e.g. a file name; bytes that are not UTF-8 are as `os.fsencode` wants them."""
        return self.cells[self.table.position(column)]

    def text(self, column: str, *, default: str | None = None) -> str:
        """Return a cell without the blanks around it; an empty one is the default, or an error where there is none."""
        value = self.cells[self.table.position(column)].strip() if column in self.table.columns else ""
        if not value:
            if default is None:
                raise self.error(column, "is empty")
            return default
        if not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value):
            raise self.error(
                column, f"holds {_printable(value)!r}, which is not UTF-8: save the file as UTF-8"
            )
        return value

    def integer(
        self, column: str, *, minimum: int, maximum: int = 2**63 - 1, default: int | None = None
    ) -> int:
        """Return a whole number within a range: `3.0` is 3; `3.5`, `1e9` and nothing without a default are not."""
        value = self.text(column, default=None if default is None else "")
        if not value and default is not None:
            return default
        matched = _INTEGER.fullmatch(value)
        if matched is None:
            rounded = (
                ": a spreadsheet has rounded it" if "e" in value.lower() and _NUMBER.fullmatch(value) else ""
            )
            raise self.error(column, f"holds {value[:60]!r}, which is no whole number{rounded}")
        number = int(matched[1])
        if not minimum <= number <= maximum:
            raise self.error(column, f"holds {number}, but {minimum} to {maximum} is possible")
        return number

    def error(self, column: str, reason: str) -> UserError:
        """Return the error of a cell, to be raised: `<table>, line 3, column seed holds ...`."""
        return self.table.error_type(f"{self.table.title}, line {self.line}, column {column} {reason}.")


@dataclass(frozen=True, slots=True)
class DelimitedTable:
    """A table with its lines."""

    title: str
    """Stands at the head of every message, e.g. `data.labels=labels.csv`."""
    columns: tuple[str, ...]
    """Names of the header, each once, without those that stand there several times."""
    rows: tuple[DelimitedRow, ...] = field(repr=False)
    error_type: type[UserError]
    positions: dict[str, int] = field(repr=False)

    def position(self, column: str) -> int:
        """Return where a column stands."""
        if column not in self.positions:
            raise self.error_type(f"{self.title} has no column {column}.")
        return self.positions[column]

    def refuse_repeated(self, *columns: str) -> None:
        """Raise the error of the first line that repeats another in all of some columns."""
        seen: dict[tuple[str, ...], int] = {}
        for row in self.rows:
            key = tuple(row.raw(column).strip() for column in columns)
            before = seen.setdefault(key, row.line)
            if before != row.line:
                named = ", ".join(_printable(part) for part in key)
                raise row.error(
                    ", ".join(columns), f"repeats {named!r} of line {before}: it lists it twice; remove one"
                )


def read_delimited(
    path: Path,
    *,
    title: str,
    needed: Sequence[str],
    optional: Sequence[str] = (),
    delimiter: str | None = None,
    error: type[UserError] = DataError,
    may_be_empty: bool = False,
    header: str | None = None,
) -> DelimitedTable:
    """Read a CSV or TSV file with a header.

    Args:
        path: Of the file.
        title: What messages call it, e.g. `data.labels=labels.csv`.
        needed: Columns without which it is refused; by them the delimiter is found.
        optional: Columns that are read where they are there.
        delimiter: Between cells; None: the first of comma, semicolon, tab, bar that gives the needed columns.
        error: Type of what is raised.
        may_be_empty: A header without lines is fine.
        header: What the first line could be, for messages; None: the needed columns.
    """
    text = _decoded(read_file(path, title=title, error=error), title, error)
    first_line = 1
    if matched := _SEPARATOR_LINE.fullmatch(text.split("\n", 1)[0].strip("\r")):
        delimiter, first_line, text = matched[1], 2, text.partition("\n")[2]
    known = (*needed, *optional)
    delimiters = (delimiter,) if delimiter else DELIMITERS
    headers = {one: _header(text, one, known) for one in delimiters}
    chosen = next((one for one in delimiters if set(needed) <= set(headers[one])), delimiters[0])
    names = headers[chosen]
    if not any(names):
        raise error(f"{title} is empty. Make its first line `{header or ','.join(needed)}`.")
    counts = Counter(name for name in names if name)
    twice = [name for name in known if counts[name] > 1]
    lacking = [name for name in needed if not counts[name]]
    if twice:
        raise error(
            f"{title}, line {first_line} names the column {twice[0]} {counts[twice[0]]} times. Keep one."
        )
    if lacking:
        held = ", ".join(_printable(name)[:40] for name in names[:12])
        raise error(
            f"{title} lacks the columns {', '.join(lacking)}; line {first_line} names {held}, but {_needed(needed)}. "
            f"Make its first line `{header or ','.join(needed)}`."
        )
    positions = {name: position for position, name in enumerate(names) if counts[name] == 1}
    rows: list[DelimitedRow] = []
    table = DelimitedTable(title, tuple(positions), (), error, positions)
    for line, cells in _lines(text, chosen, title, error, first_line):
        rows.append(DelimitedRow(table, line, _fitted(cells, names, line, title, error)))
    if rows:
        rows.pop(0)  # the header
    rows = [row for row in rows if any(cell.strip() for cell in row.cells)]
    if not rows and not may_be_empty:
        raise error(f"{title} has a header but no lines below it.")
    return DelimitedTable(title, tuple(positions), tuple(rows), error, positions)


def read_foreign_json(path: Path, *, title: str) -> Any:
    """Read a JSON file of another program: a byte-order mark is fine, a name that stands twice in an object is not."""
    return parse_foreign_json(read_file(path, title=title), title=title)


def parse_foreign_json(data: bytes, *, title: str) -> Any:
    """Return the content of JSON bytes; what is no JSON is one line with the place."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        content = dict(pairs)
        if len(content) < len(pairs):
            name = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
            raise DataError(f"{title} names {_printable(name)[:60]!r} twice in one object. Remove one.")
        return content

    text = _decoded(data, title, DataError)
    if "\udc80" <= max(text, default="") <= "\udfff":  # what UTF-8 could not be made of
        _refuse_other_encoding(text, title)
    try:
        return json.loads(text, object_pairs_hook=once)
    except json.JSONDecodeError as problem:
        raise DataError(
            f"{title} is no JSON: {problem.msg} in line {problem.lineno}, character {problem.colno}{_looks(data)}."
        ) from problem
    except (RecursionError, ValueError) as problem:  # thousands of brackets, or of digits
        raise DataError(f"{title} is no JSON that can be read: {str(problem)[:80]}.") from problem


def read_file(path: Path, *, title: str, error: type[UserError] = DataError) -> bytes:
    """Return the bytes of a file; one that is no file or cannot be read is one line, never a wait."""
    try:
        if path.exists() and not path.is_file():  # a pipe would wait for ever
            raise error(f"{title} cannot be read: it is no file. Name a file.")
        return path.read_bytes()
    except (OSError, ValueError) as problem:  # ValueError: a NUL in the name
        reason = getattr(problem, "strerror", None) or str(problem)
        raise error(f"{title} cannot be read ({reason}; read from {Path.cwd()}). Name a file.") from problem


def _decoded(data: bytes, title: str, error: type[UserError]) -> str:
    """Return the text; bytes that are not UTF-8 become surrogates, for file names may hold them."""
    mark, encoding = next((pair for pair in _MARKS if data.startswith(pair[0])), (b"", "utf-8"))
    try:
        is_utf8 = encoding == "utf-8"
        text = data[len(mark) :].decode(encoding, "surrogateescape" if is_utf8 else "strict")
    except UnicodeDecodeError as problem:
        raise error(f"{title} is cut short or damaged: it begins as {encoding} and is not.") from problem
    place = text.find("\0")
    if place >= 0:
        line = text.count("\n", 0, place) + 1
        raise error(
            f"{title}, line {line} holds NUL bytes{_looks(data) or ': it is damaged, or UTF-16 without its mark'}. "
            "Save it as UTF-8 text."
        )
    if data.startswith(b"PK\x03\x04"):
        raise error(f"{title} is no text{_looks(data)}. Save it as CSV, UTF-8.")
    return text


def _refuse_other_encoding(text: str, title: str) -> None:
    place = next(index for index, c in enumerate(text) if "\udc80" <= c <= "\udfff")
    line = text.count("\n", 0, place) + 1
    raise DataError(
        f"{title}, line {line} holds the byte 0x{ord(text[place]) - 0xDC00:02x}, which is not UTF-8. Save it so."
    )


def _looks(data: bytes) -> str:
    """Return what bytes look like that are not what they should be."""
    start = data[:256].lstrip().lower()
    if data.startswith(b"PK\x03\x04"):
        return ": it is a ZIP archive, perhaps an Excel workbook"
    if start.startswith(b"version https://git-lfs"):
        return ": it is a Git LFS pointer, run `git lfs pull`"
    if start.startswith((b"<!doctype html", b"<html")):
        return ": it is a web page, the usual trace of a failed download"
    return ": the file is empty" if not start else ""


def _reader(text: str, delimiter: str) -> Any:
    csv.field_size_limit(MAX_CELL_CHARACTERS)
    return csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True, skipinitialspace=True)


def _header(text: str, delimiter: str, known: Sequence[str]) -> list[str]:
    """Return the names of the first line that has some, those that are known in their own spelling."""
    try:
        cells: list[str] = next((row for row in _reader(text, delimiter) if any(c.strip() for c in row)), [])
    except csv.Error:
        return []
    names = [from_csv(cell.strip()) for cell in cells]
    while names and not names[-1]:
        names.pop()
    spelt = {name.casefold(): name for name in known if name not in names}
    return [spelt.get(name.casefold(), name) for name in names]


def _lines(
    text: str, delimiter: str, title: str, error: type[UserError], first_line: int
) -> Iterator[tuple[int, list[str]]]:
    """Yield the line and the cells of every line that is not blank, the header first."""
    reader = _reader(text, delimiter)
    line = first_line
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield line, cells
            line = reader.line_num + first_line
    except csv.Error as problem:
        raise error(
            f"{title}, line {line} cannot be read as a line of cells ({problem}): is a quotation mark lacking?"
        ) from problem


def _fitted(
    cells: list[str], names: list[str], line: int, title: str, error: type[UserError]
) -> tuple[str, ...]:
    """Return as many cells as there are columns."""
    beyond = [cell for cell in cells[len(names) :] if cell.strip()]
    if beyond:
        raise error(
            f"{title}, line {line} has {len(cells)} cells, but the header {len(names)} "
            f"(too many: {_printable(beyond[0])[:60]!r}). Put a cell that holds a comma into quotation marks."
        )
    if len(cells) < len(names):
        raise error(
            f"{title}, line {line} has {len(cells)} cells, but the header {len(names)}: it lacks the column "
            f"{names[len(cells)]}. Is the line cut short?"
        )
    return tuple(from_csv(cell) for cell in cells[: len(names)])


def _needed(columns: Sequence[str]) -> str:
    names = ", ".join(f"`{column}`" for column in columns)
    return f"a column {names} is needed" if len(columns) == 1 else f"the columns {names} are needed"


def _printable(text: str) -> str:
    return shown(text.encode("utf-8", "surrogateescape"))
