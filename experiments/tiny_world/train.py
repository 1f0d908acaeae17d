"""Train the embedded models of the tiny world.

python -m experiments.tiny_world.train generator --minutes 90 --processes 2
python -m experiments.tiny_world.train classifiers
"""

import argparse

from experiments.tiny_world import classifiers, generator


def main() -> None:
    """Read the command line and run the chosen part."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.tiny_world.train",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parts = parser.add_subparsers(required=True, metavar="generator|classifiers")
    for name, part in (("generator", generator), ("classifiers", classifiers)):
        command = parts.add_parser(name, help=(part.__doc__ or "").splitlines()[0])
        part.add_arguments(command)
        command.set_defaults(run=part.run)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
