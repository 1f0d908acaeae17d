"""What is said and done when somebody ends a run: Ctrl-C, or the SIGTERM of a scheduler."""

import os
import signal
import sys
from types import FrameType, TracebackType

_caught: list[int] = []


def end_quietly(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Show an error that nobody caught; for Ctrl-C one line, as everywhere, and Python then ends with code 130."""
    if issubclass(kind, KeyboardInterrupt):
        print("Interrupted. Nothing was begun.", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


def end_on_sigterm() -> None:
    """Let SIGTERM end this process as Ctrl-C does: what is begun is stored, then it ends, with a line and code 143.

    Processes that this one forks die of it at once, as they would without.
    """
    here = os.getpid()

    def end(number: int, frame: FrameType | None) -> None:
        if os.getpid() != here:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        _caught.append(number)
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)


def last_word() -> tuple[str, int]:
    """Return what to say of the interruption that has just ended this process, and its exit code."""
    kept = "Finished work is kept: the same command goes on from here."
    return (f"Ended by SIGTERM. {kept}", 143) if _caught else (f"Interrupted. {kept}", 130)
