"""What is said when Ctrl-C comes before there is any work to keep."""

import sys
from types import TracebackType


def end_quietly(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Show an error that nobody caught; for Ctrl-C one line, as everywhere, and Python then ends with code 130."""
    if issubclass(kind, KeyboardInterrupt):
        print("Interrupted. Nothing was begun.", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)
