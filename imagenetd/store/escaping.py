r"""Text of others (names, prompts, labels, paths) made harmless for the medium in which it is shown.

A value is kept as it is everywhere inside the program and escaped once, where a medium is written:

>>> print(for_terminal("mug\x1b[2J"), for_csv("=1+1"), for_csv("-7.3"), for_markdown("a|<b>"))
mug\x1b[2J '=1+1 -7.3 a\|&lt;b&gt;
"""

import html
import json
import math
import re
from collections.abc import Mapping
from typing import Any

UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\uffa0\U000e0100-\U000e01ef\ud800-\udfff\U000e0000-\U000e007f]"
)
"""Characters that move the cursor, turn the direction of writing, or leave no trace: a name with one of them looks
like another name. Half surrogates stand for bytes of a file's name that are no UTF-8; no medium can hold them."""

FORMULA_STARTS = "=+-@\t\r\n\uff1d\uff0b\uff0d\uff20"
"""What a spreadsheet takes for the start of a formula (OWASP, CSV injection), the full-width forms among them."""
_FORMULA = re.compile(f"'*[{re.escape(FORMULA_STARTS)}]")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_MARKDOWN = re.compile(
    r"[\\`*\[\]|~]"  # emphasis, code, links, borders of tables, struck out
    r"|(?<![^\W_])_|_(?![^\W_])"  # not within a word, where an underscore means nothing
    r"|^[#+\-=>]|(?<=^\d)[.)]|(?<=^\d\d)[.)]"  # headings, lists, quotations
)


def for_terminal(text: object, *, keeps_lines: bool = False) -> str:
    r"""Return a text for a terminal or a log: what is unseen or moves the cursor is spelt out, as in `\x1b`.

    Args:
        text: Anything that has a text.
        keeps_lines: Line feeds stay; for texts of our own that have several lines.
    """
    lines = str(text).split("\n") if keeps_lines else [str(text)]
    return "\n".join(UNSEEN.sub(_spelt, line) for line in lines)


def _spelt(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")


def shown(name: bytes) -> str:
    r"""Return a file's name as printable text, the same for the same bytes.

    >>> shown(b"a\xff.jpg"), shown(b"new\nline.jpg")
    ('a\\xff.jpg', 'new\\nline.jpg')
    """
    text = name.decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def for_csv(text: str) -> str:
    """Return a cell that a spreadsheet shows as text: an apostrophe stands before what it would take for a formula.

    Numbers such as `-7.3` stay numbers. `from_csv` gives the text back, whatever it was.
    """
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def from_csv(cell: str) -> str:
    """Return the text of a cell that `for_csv` wrote.

    >>> [from_csv(for_csv(name)) for name in ("=1+1", "'=1+1", "'tis", "-7.3", "mug")]
    ['=1+1', "'=1+1", "'tis", '-7.3', 'mug']
    """
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def for_markdown(text: object) -> str:
    """Return a text for one line of Markdown: no markup, HTML, table border or line break of its own."""
    plain = for_terminal(" ".join(str(text).split()))
    return html.escape(_MARKDOWN.sub(r"\\\g<0>", plain), quote=False)


def for_markdown_code(text: object) -> str:
    """Return a text as inline code of Markdown, in a fence that it cannot close; borders of tables are escaped."""
    plain = for_terminal(text).replace("|", "\\|")
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", plain)), default=0))
    pad = " " if plain.startswith(("`", " ")) or plain.endswith(("`", " ")) or not plain else ""
    return f"{fence}{pad}{plain}{pad}{fence}"


def json_for_script(data: Any) -> str:
    """Return JSON that cannot end the script element it stands in, and without NaN, which JSON does not know."""
    text = json.dumps(_plain(data), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return for_terminal(value, keeps_lines=True)
    if isinstance(value, Mapping):
        return {for_terminal(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return value
