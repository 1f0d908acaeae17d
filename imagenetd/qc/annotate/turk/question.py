"""The XML that Mechanical Turk wants for a question, and the XML in which it gives answers back."""

import xml.etree.ElementTree as ElementTree
from xml.sax.saxutils import escape

from imagenetd.errors import ConfigError, StoreError

SCHEMAS = "http://mechanicalturk.amazonaws.com/AWSMechanicalTurkDataSchemas"
HTML_NAMESPACE = f"{SCHEMAS}/2011-11-11/HTMLQuestion.xsd"
EXTERNAL_NAMESPACE = f"{SCHEMAS}/2006-07-14/ExternalQuestion.xsd"
ANSWERS_FIELD = "answers"
MAX_QUESTION_BYTES = 65_535
"""Of an HTML question."""
MAX_ANSWER_CHARS = 200_000


def html_question(document: str) -> str:
    """Return a question that holds the whole page; one above Amazon's limit is a ConfigError."""
    content = document.replace("]]>", "]]]]><![CDATA[>")
    text = (
        f'<HTMLQuestion xmlns="{HTML_NAMESPACE}"><HTMLContent><![CDATA[{content}]]></HTMLContent>'
        "<FrameHeight>0</FrameHeight></HTMLQuestion>"
    )
    size = len(text.encode())
    if size > MAX_QUESTION_BYTES:
        raise ConfigError(
            f"A task makes an HTML question of {size:,} bytes, and Amazon takes {MAX_QUESTION_BYTES:,}. "
            "Use fewer images a task (qc.tasks.images_per_task), or external questions (qc.mturk.forms_url)."
        )
    return text


def external_question(address: str) -> str:
    """Return a question that is a page elsewhere."""
    return (
        f'<ExternalQuestion xmlns="{EXTERNAL_NAMESPACE}"><ExternalURL>{escape(address)}</ExternalURL>'
        "<FrameHeight>0</FrameHeight></ExternalQuestion>"
    )


def answer_text(answer: str) -> str:
    """Return what the form sent, from an assignment's answer; anything else is a StoreError."""
    if len(answer) > MAX_ANSWER_CHARS or "<!" in answer.replace("<![CDATA[", ""):
        raise StoreError("The answer of an assignment is too long, or holds a declaration.")
    try:
        root = ElementTree.fromstring(answer)
    except ElementTree.ParseError as error:
        raise StoreError(f"The answer of an assignment is no XML ({error}).") from error
    for element in root.iter():
        if _tag(element) == "Answer":
            parts = {_tag(child): child.text or "" for child in element}
            if parts.get("QuestionIdentifier") == ANSWERS_FIELD:
                return parts.get("FreeText", "")
    raise StoreError(f"The answer of an assignment has no field {ANSWERS_FIELD!r}.")


def _tag(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]
