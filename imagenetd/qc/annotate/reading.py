"""What comes back from people: the body of a request, or a file that somebody sent."""

import json
from collections.abc import Mapping
from pathlib import Path

from starlette.requests import Request

from imagenetd.errors import StoreError
from imagenetd.qc.annotate import refusals
from imagenetd.qc.tasks import Judgement


async def read_json(request: Request, max_bytes: int) -> Mapping[str, object]:
    """Return the body; what is larger than announced is cut off while it comes in."""
    body = b""
    async for block in request.stream():
        body += block
        if len(body) > max_bytes:
            raise refusals.too_large()
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise refusals.malformed("it is no JSON") from error
    if not isinstance(content, dict):
        raise refusals.malformed("it is no mapping")
    return content


def read_answer(body: Mapping[str, object]) -> Judgement:
    """Return the answer in a body; an open question or a word for a number is refused."""
    position, recognise, use = body.get("position"), body.get("can_recognise"), body.get("can_use")
    if type(position) is not int:
        raise refusals.malformed("position is no whole number")
    if not isinstance(recognise, bool) or not isinstance(use, bool):
        raise refusals.malformed("both questions need true or false")
    seconds = body.get("seconds", 0.0)
    if not isinstance(seconds, int | float):
        raise refusals.malformed("seconds is no number")
    try:
        return Judgement(position, recognise, use, float(seconds))
    except OverflowError as error:
        raise refusals.malformed("seconds is no number") from error


def read_text(path: Path) -> str:
    """Return a text file that somebody sent; one that cannot be read is a StoreError."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise StoreError(f"{path} cannot be read ({reason}).") from error
