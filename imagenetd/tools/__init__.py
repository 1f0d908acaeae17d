"""Commands beside `run.py`, each started with `python -m imagenetd.tools.NAME`."""
