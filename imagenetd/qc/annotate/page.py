"""The page's files: one template, one style and one script for the server's page and for the form without a server."""

import functools

import jinja2

from imagenetd import ASSETS_DIR
from imagenetd.qc.wording import INSTRUCTIONS, KEYS, RECOGNISE, TITLE, USE

ASSETS = ASSETS_DIR / "annotate"
QUESTION_SCRIPT = "page.js"
SERVER_SCRIPT, FORM_SCRIPT = "server.js", "form.js"


def server_page() -> str:
    """Return the document that the server sends; style and script are files of their own (strict policy)."""
    return _template().render(WORDS, data=None)


def form_page(data: str) -> str:
    """Return a document that holds everything: style, script and data.

    Args:
        data: JSON in which `<` is written as an escape, so that nothing in it can end the element.
    """
    assert "<" not in data
    return _template().render(WORDS, data=data, style=page_style(), script=_script(FORM_SCRIPT))


def server_script() -> str:
    """Return the script of the server's page."""
    return _script(SERVER_SCRIPT)


def page_style() -> str:
    """Return the style sheet."""
    return _asset("page.css")


WORDS = {
    "title": TITLE,
    "questions": (RECOGNISE, USE),
    "instructions": INSTRUCTIONS,
    "keys": KEYS,
}


@functools.cache
def _template() -> jinja2.Template:
    loader = jinja2.FileSystemLoader(ASSETS)
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    return environment.get_template("page.html.j2")


def _script(name: str) -> str:
    return _asset(QUESTION_SCRIPT) + _asset(name)


def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")
