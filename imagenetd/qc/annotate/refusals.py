"""Why a worker's request is not carried out, with the HTTP status that says so."""


class Refusal(Exception):
    """A request that changes nothing.

    Args:
        status: HTTP status code.
        code: For the page's script.
        message: For the worker, one sentence.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


def no_session() -> Refusal:
    """No cookie, or one that is forged or expired."""
    return Refusal(401, "no_session", "Your session has ended. Open your invitation link again.")


def bad_invitation() -> Refusal:
    """An invitation that is forged, damaged or expired."""
    return Refusal(403, "bad_invitation", "This invitation is not valid or has expired. Ask for a new link.")


def blocked() -> Refusal:
    """A worker whom the owner has shut out."""
    return Refusal(403, "blocked", "This invitation has been withdrawn.")


def wrong_origin() -> Refusal:
    """A request that did not come from our own page."""
    return Refusal(
        403, "wrong_origin", "This request did not come from the page itself. Load the page again."
    )


def unknown_task() -> Refusal:
    """A task or image that this worker was never given; whether it exists is not told."""
    return Refusal(404, "unknown", "This is none of your tasks.")


def already_submitted() -> Refusal:
    """A task that is done; the first submission stands."""
    return Refusal(409, "already_submitted", "This task is sent already. Nothing was changed.")


def question_open(position: int) -> Refusal:
    """An earlier picture still lacks an answer."""
    return Refusal(409, "question_open", f"Picture {position + 1} still needs an answer to both questions.")


def given_away() -> Refusal:
    """A task that was left alone too long, and that enough others have now."""
    return Refusal(
        410, "given_away", "You were away for long, and this task went to somebody else. Take the next."
    )


def not_kept() -> Refusal:
    """The disk or the database refuses; the page tries again by itself."""
    return Refusal(
        503,
        "not_kept",
        "The server cannot store this at the moment. Your answers are kept, and are sent again by themselves.",
    )


def malformed(reason: str) -> Refusal:
    """A body that is not what the page sends."""
    return Refusal(422, "malformed", f"The request makes no sense: {reason}.")


def too_large() -> Refusal:
    """A body above the limit."""
    return Refusal(413, "too_large", "The request is too large.")
