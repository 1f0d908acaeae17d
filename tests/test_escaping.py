"""Names of others are shown, opened and read back as the names they are, in every medium."""

import csv
import io
import json
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.table import Table
from rich.text import Text

from imagenetd.errors import ConfigError, MissingFilesError
from imagenetd.images.datasets.own_export import read_own_export
from imagenetd.images.generators.folder import FolderGenerator
from imagenetd.reports.regimes import regimes_view
from imagenetd.reports.sweep_table import comparison_view
from imagenetd.reports.terminal import terminal_tables
from imagenetd.store.console import PlainConsole, cell, complain
from imagenetd.store.csv_files import csv_text, from_csv_frame
from imagenetd.store.escaping import (
    for_csv,
    for_markdown,
    for_markdown_code,
    for_terminal,
    from_csv,
    json_for_script,
)

NAME = "mug[/][bold red]:boom:\x1b[2J\u202egpj"
SHOWN = "mug[/][bold red]:boom:\\x1b[2J\\u202egpj"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("beach-s", "beach-s"),
        ("Zoë 結果", "Zoë 結果"),
        ("[/] [bold red]", "[/] [bold red]"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("a\nb\tc\rd", "a\\nb\\tc\\rd"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("\x9b2J\u2066\ufeff", "\\x9b2J\\u2066\\ufeff"),
        ("\udcff.png", "\\udcff.png"),
    ],
)
def test_what_moves_the_cursor_or_is_unseen_is_spelt_out(text: str, shown: str) -> None:
    assert for_terminal(text) == shown
    for_terminal(text).encode("utf-8")


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("=1+1", "'=1+1"),
        ("+1+1", "'+1+1"),
        ("-cmd", "'-cmd"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("\uff1d1", "'\uff1d1"),
        ("-7.3", "-7.3"),
        ("+2", "+2"),
        ("-1e-05", "-1e-05"),
        ("'=1", "''=1"),
        ("'tis", "'tis"),
        ("beach-s", "beach-s"),
        ("", ""),
    ],
)
def test_a_cell_is_no_formula_and_a_number_stays_a_number(text: str, written: str) -> None:
    assert (for_csv(text), from_csv(written)) == (written, text)


@given(st.text(alphabet="=+-@\t\r\n'1.5eE ab\uff1d", max_size=8))
def test_every_text_comes_back_from_a_cell(text: str) -> None:
    assert from_csv(for_csv(text)) == text


@pytest.mark.parametrize("num_rows", [3, 6000])
def test_a_table_comes_back_with_its_headings_and_names(num_rows: int) -> None:
    names = ["=cmd|' /C calc'!A0", "'-x", "mug"]
    table = pd.DataFrame({"@model": names * (num_rows // 3), "drop": [-7.3, 0.5, -1.0] * (num_rows // 3)})
    text = csv_text(table)
    rows = list(csv.reader(io.StringIO(text)))
    assert rows[0] == ["'@model", "drop"]
    assert rows[1] == ["'=cmd|' /C calc'!A0", "-7.3"]
    read = from_csv_frame(pd.read_csv(io.StringIO(text)))
    assert read["@model"].tolist() == table["@model"].tolist()
    assert read["drop"].tolist() == table["drop"].tolist()


def test_adopted_images_keep_names_that_look_like_formulas(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {
            "file": ["=1.png"],
            "category": ["mug"],
            "kind": ["background"],
            "nuisance": ["@sea"],
            "prompt": ["+x"],
        }
    )
    (tmp_path / "images.csv").write_text(csv_text(table))
    (tmp_path / "=1.png").write_bytes(b"")
    assert list(read_own_export(tmp_path).rows) == ["=1.png"]
    rows = FolderGenerator(root=str(tmp_path), metadata=str(tmp_path / "images.csv"), unit_size=1).prompts()
    assert rows is not None
    assert (rows[0].nuisance, rows[0].text) == ("@sea", "+x")


@pytest.mark.parametrize(
    ("text", "markdown"),
    [
        ("desk_lamp", "desk_lamp"),
        ("<img src=x onerror=alert(1)>", "&lt;img src=x onerror=alert(1)&gt;"),
        ("a|b `c` *d* _e_ [f](g)", "a\\|b \\`c\\` \\*d\\* \\_e\\_ \\[f\\](g)"),
        ("# one\n- two", "\\# one - two"),
        ("\x1b[2J\u202e", "\\\\x1b\\[2J\\\\u202e"),
    ],
)
def test_a_name_is_no_markdown(text: str, markdown: str) -> None:
    assert for_markdown(text) == markdown


def test_code_of_markdown_cannot_be_closed_from_within() -> None:
    assert for_markdown_code("name=`id`|x") == "``name=`id`\\|x``"
    assert for_markdown_code("`a`") == "`` `a` ``"


def test_a_name_ends_no_script() -> None:
    text = json_for_script({"</script>": "<!--\u2028"})
    assert "<" not in text and "\u2028" not in text
    assert json.loads(text) == {"</script>": "<!--\\u2028"}


def test_a_page_keeps_lines_lists_and_numbers_and_knows_no_nan() -> None:
    data = {"names": ["a\nb", ("\x1b", None)], "shares": [0.5, float("nan"), float("inf"), 3, True]}
    assert json.loads(json_for_script(data)) == {
        "names": ["a\nb", ["\\x1b", None]],
        "shares": [0.5, None, None, 3, True],
    }


def rendered(thing: object, screen: type[Console]) -> str:
    console = screen(width=200, file=io.StringIO(), force_terminal=False)
    console.print(thing)
    return console.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize("screen", [Console, PlainConsole])
def test_the_tables_of_the_terminal_show_names_as_they_are(screen: type[Console]) -> None:
    numbers = {
        f"pool_{name}": value
        for name, value in zip(
            ("accuracy", "num_images", "num_correct", "wilson_low", "wilson_high"),
            (0.5, 10, 5, 0.2, 0.8),
            strict=True,
        )
    }
    row = {"model": NAME, "role": "target", "kind": "all", "nuisance": "all", **numbers}
    tables = {
        "overall": pd.DataFrame([row]),
        "per_nuisance": pd.DataFrame([row | {"kind": "background", "nuisance": NAME}]),
        "surrogates": pd.DataFrame([row | {"role": "surrogate"}]),
        "yields": pd.DataFrame([{"kind": "all"}]),
    }
    shown = "".join(
        rendered(part, screen) for part in terminal_tables(tables, {}, min_images=5, max_rows_per_kind=3)
    )
    assert "".join(shown.split()).count("".join(SHOWN.split())) == 4  # a title is wrapped
    assert "\x1b" not in shown and "\u202e" not in shown
    regimes = pd.DataFrame(
        [
            {
                "model": NAME,
                "role": "target",
                "kind": "all",
                "regime": "prompted",
                "chance": 1.0,
                "top1": 0.5,
                "wilson_low": 0.2,
                "wilson_high": 0.8,
                "num_images": 10,
                "top5": float("nan"),
            }
        ]
    )
    shown = rendered(regimes_view(regimes)[0], screen)
    assert SHOWN in shown and " 100 " in shown


def test_the_comparison_of_a_sweep_shows_overrides_as_they_are() -> None:
    sets = {
        f"{name}_{number}": 1.0
        for name in ("pool", "mined", "accepted")
        for number in ("accuracy", "num_images", "num_correct", "wilson_low", "wilson_high")
    }
    row = {
        "job": 0,
        "overrides": "name=[/]x",
        "name": "n",
        "target": NAME,
        "regime": "",
        "relation": "",
        "drop_low": -0.1,
        "drop_high": 0.1,
        "drop_num_images": 9,
        "min_failures": 1,
        "num_surrogates": 1,
        "drop": -0.00001,
        **sets,
    }
    shown = rendered(comparison_view(pd.DataFrame([row])), Console)
    assert "name=[/]x" in shown and SHOWN in shown and "-0.0" not in shown


def test_a_console_obeys_no_text_even_where_nobody_escaped_it() -> None:
    table = Table(title="[red]\x1b[2J")
    table.add_column("[/]")
    table.add_row(Text("a\x1b[1mb"))
    shown = rendered(table, PlainConsole)
    assert "[red]\\x1b[2J" in "".join(shown.split()) and "[/]" in shown and "\x1b" not in shown


def test_an_error_is_one_line_whatever_name_is_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    complain(ConfigError(f"name={NAME}\n is none."))
    assert capsys.readouterr().err == f"error: name={SHOWN}\\n is none.\n"
    complain(MissingFilesError("1 file\n  a.bin"))
    assert capsys.readouterr().err == "error: 1 file\n  a.bin\n"
    assert cell("\x1b").plain == "\\x1b"


@pytest.mark.parametrize("unseen", ["\u3164", "\u115f", "\u2800", "\u180e", "\u034f", "\u17b4", "\U000e0100"])
def test_letters_that_leave_no_trace_are_spelt_out(unseen: str) -> None:
    assert for_terminal(f"mug{unseen}") == "mug" + unseen.encode("unicode_escape").decode()
