"""People vote on images: `python -m imagenetd.qc.annotate FOLDER` serves the page of a run that waits for votes."""

import sys

if __name__ == "__main__":
    try:
        from imagenetd.qc.annotate.commands import main
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("imagenetd"):
            raise
        print(
            f"error: {error.name} is not installed. Install what people's votes need: pip install 'imagenetd[qc]'",
            file=sys.stderr,
        )
        raise SystemExit(1) from None
    main()
