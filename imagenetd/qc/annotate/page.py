"""The page's files: one body, one style and one script for the server's page and for the form that needs no server."""

import html

from imagenetd import ASSETS_DIR
from imagenetd.qc.wording import INSTRUCTIONS, KEYS, RECOGNISE, TITLE, USE

ASSETS = ASSETS_DIR / "annotate"
QUESTION_SCRIPT = "page.js"
SERVER_SCRIPT, FORM_SCRIPT = "server.js", "form.js"


class Page:
    """The files of the page, with the words put in."""

    def __init__(self) -> None:
        words = {"{instructions}": _instructions(), "{keys}": _keys()}
        for number, question in enumerate((RECOGNISE, USE), start=1):
            words[f"{{legend_{number}}}"] = html.escape(question.text)
            words[f"{{hint_{number}}}"] = html.escape(question.hint)
        self._body = _asset("body.html")
        for place, text in words.items():
            self._body = self._body.replace(place, text)

    def html(self) -> str:
        """Return the document that the server sends; style and script are files of their own (strict policy)."""
        return self._document(
            '<link rel="stylesheet" href="/page.css">', '<script src="/page.js" defer></script>'
        )

    def form(self, data: str) -> str:
        """Return a document that holds everything: style, script and data.

        Args:
            data: JSON in which `<` is written as an escape, so that nothing in it can end the element.
        """
        assert "<" not in data
        scripts = _asset(QUESTION_SCRIPT) + _asset(FORM_SCRIPT)
        return self._document(
            f"<style>{self.style()}</style>",
            f'<script type="application/json" id="data">{data}</script><script>{scripts}</script>',
        )

    def script(self) -> str:
        """Return the script of the server's page."""
        return _asset(QUESTION_SCRIPT) + _asset(SERVER_SCRIPT)

    def style(self) -> str:
        """Return the style sheet."""
        return _asset("page.css")

    def _document(self, head: str, end: str) -> str:
        return (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f'<meta name="color-scheme" content="light dark">\n<title>{html.escape(TITLE)}</title>\n'
            f"{head}\n</head>\n<body>\n{self._body}{end}\n</body>\n</html>\n"
        )


def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")


def _instructions() -> str:
    return "".join(f"<li>{html.escape(line)}</li>" for line in INSTRUCTIONS)


def _keys() -> str:
    return "".join(
        f"<dt><kbd>{html.escape(key)}</kbd></dt><dd>{html.escape(does)}</dd>" for key, does in KEYS
    )
