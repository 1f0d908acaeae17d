"""Tables and JSON of other programs: what is read in spite of its quirks, and what is refused with its place."""

import codecs
from pathlib import Path

import pytest

from imagenetd.errors import ConfigError, DataError
from imagenetd.store.delimited import DelimitedTable, parse_foreign_json, read_delimited, read_foreign_json

PLAIN = "file,category,seed\na.png,mug,3\nb.png,banana,4\n"
EXPECTED = [("a.png", "mug", 3), ("b.png", "banana", 4)]


def table_of(content: str | bytes, folder: Path, **options: object) -> DelimitedTable:
    path = folder / "table.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    settings = {"needed": ("file", "category"), "optional": ("seed",), **options}
    return read_delimited(path, title="data.labels=table.csv", **settings)  # type: ignore[arg-type]


def read(content: str | bytes, folder: Path) -> list[tuple[str, str, int]]:
    rows = table_of(content, folder).rows
    return [(row.raw("file"), row.text("category"), row.integer("seed", minimum=0)) for row in rows]


def refused(content: str | bytes, folder: Path) -> str:
    with pytest.raises(DataError) as caught:
        read(content, folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        PLAIN,
        codecs.BOM_UTF8 + PLAIN.encode(),
        PLAIN.encode("utf-16"),
        codecs.BOM_UTF16_BE + PLAIN.encode("utf-16-be"),
        PLAIN.encode("utf-32"),
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("\n", "\r"),
        PLAIN.removesuffix("\n"),
        PLAIN + "\n\r\n  \n,,\n",
        PLAIN.replace(",", ";"),
        "sep=;\r\n" + PLAIN.replace(",", ";"),
        PLAIN.replace(",", "\t"),
        PLAIN.replace(",", ", "),
        PLAIN.replace("\n", ",\n"),
        PLAIN.replace("mug,3", "mug,3.0"),
        PLAIN.replace("mug,3", '"mug","3"'),
        PLAIN.replace("file,category,seed", "File,CATEGORY, Seed "),
        PLAIN.replace("file", "note,file").replace("a.png", "x,a.png").replace("b.png", "y,b.png"),
        "\n" + PLAIN,
    ],
    ids=[
        *("plain", "utf-8 mark", "utf-16", "utf-16 big", "utf-32", "windows", "old mac", "no last line end"),
        *("blank lines", "semicolon", "sep line", "tab", "blanks", "empty beyond", "3.0", "quoted", "case"),
        *("further column", "blank first line"),
    ],
)
def test_a_quirk_with_a_plain_meaning_is_read(content: str | bytes, tmp_path: Path) -> None:
    assert read(content, tmp_path) == EXPECTED


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "data.labels=table.csv is empty"),
        ("file,category,seed\n", "has a header but no lines below it"),
        ("name,label\na,b\n", "lacks the columns file, category; line 1 names name, label"),
        ("file,category,file\na,b,c\n", "line 1 names the column file 2 times"),
        (PLAIN + "c.png,mug\n", "line 4 has 2 cells, but the header 3: it lacks the column seed"),
        (PLAIN + "c.png,mug,1,2\n", "line 4 has 4 cells, but the header 3 (too many: '2')"),
        (PLAIN.replace("banana", ""), "line 3, column category is empty"),
        (PLAIN.replace("mug,3", "mug,3.5"), "line 2, column seed holds '3.5', which is no whole number"),
        (PLAIN.replace("mug,3", "mug,1E+09"), "which is no whole number: a spreadsheet has rounded it"),
        (PLAIN.replace("mug,3", "mug,-1"), "line 2, column seed holds -1, but 0 to"),
        (PLAIN.replace("mug,3", "mug,"), "line 2, column seed is empty"),
        (PLAIN.replace("mug,3", "mug,\u0663"), "which is no whole number"),
        (PLAIN.replace("mug,3", "mug,1_0"), "which is no whole number"),
        (PLAIN.replace("mug,3", 'mug,"3'), "line 2 cannot be read as a line of cells"),
        (PLAIN.replace("mug", "m\0g"), "line 2 holds NUL bytes"),
        (PLAIN.encode("utf-16-le"), "line 1 holds NUL bytes"),
        (codecs.BOM_UTF16_LE + PLAIN.encode("utf-16-le")[:-1], "is cut short or damaged"),
        (PLAIN.replace("banana", "caf\xe9").encode("latin-1"), "column category holds 'caf\\\\xe9'"),
        (b"PK\x03\x04 an Excel workbook", "perhaps an Excel workbook"),
    ],
)
def test_what_has_no_plain_meaning_is_one_line_with_its_place(
    content: str | bytes, message: str, tmp_path: Path
) -> None:
    assert message in refused(content, tmp_path)


def test_lines_are_counted_through_cells_that_span_lines_and_blank_ones(tmp_path: Path) -> None:
    content = 'file,category,seed\n"a\nb.png",mug,1\n\nc.png,mug,x\n'
    assert "line 5, column seed" in refused(content, tmp_path)
    assert [row.line for row in table_of(content, tmp_path).rows] == [2, 5]


def test_only_real_line_ends_end_a_line(tmp_path: Path) -> None:
    content = "file,category,seed\na\u2028\x0b\x1c.png,mug,1\n"
    assert read(content, tmp_path) == [("a\u2028\x0b\x1c.png", "mug", 1)]


def test_a_file_name_keeps_bytes_that_are_no_text(tmp_path: Path) -> None:
    (row,) = table_of(b"file,category\ncaf\xe9.png,mug\n", tmp_path).rows
    assert row.raw("file").encode("utf-8", "surrogateescape") == b"caf\xe9.png"


def test_a_repeated_line_names_both(tmp_path: Path) -> None:
    table = table_of(PLAIN + "a.png,tie,1\n", tmp_path)
    with pytest.raises(DataError, match=r"line 4, column file repeats 'a\.png' of line 2"):
        table.refuse_repeated("file")


def test_the_error_is_of_the_type_that_the_caller_names(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="lacks the columns x"):
        table_of(PLAIN, tmp_path, needed=("x",), error=ConfigError)
    with pytest.raises(DataError, match="No such file"):
        read_delimited(tmp_path / "gone.csv", title="gone.csv", needed=("x",))
    with pytest.raises(DataError, match="no file"):
        read_delimited(tmp_path, title="folder", needed=("x",))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_json_may_begin_with_a_byte_order_mark(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes('{"tasse": "mug"}'.encode(encoding))
    assert read_foreign_json(tmp_path / "a.json", title="a.json") == {"tasse": "mug"}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'{"a": 1, "a": 2}', "names 'a' twice in one object"),
        (b'{"a": 1,\n "b" 2}', "line 2, character 6"),
        (b"", "the file is empty"),
        (b"<!DOCTYPE html>", "a web page"),
        (b'{"a": "caf\xe9"}', "line 1 holds the byte 0xe9, which is not UTF-8"),
        (b"[" * 100_000, "no JSON that can be read"),
        (b"1" * 10_000, "no JSON that can be read"),
    ],
    ids=["twice", "comma", "empty", "web page", "latin-1", "brackets", "digits"],
)
def test_what_is_no_json_is_one_line(data: bytes, message: str) -> None:
    with pytest.raises(DataError) as caught:
        parse_foreign_json(data, title="map.json")
    assert message in str(caught.value) and "\n" not in str(caught.value)
