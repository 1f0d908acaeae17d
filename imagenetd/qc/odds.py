"""What a design of sentinels catches: exact chances that a worker of known habits passes it. Pure arithmetic.

python -m imagenetd.qc.odds --positive 1 --negative 1 --consistency 2 --rule both --accuracy 0.95
"""

import argparse
from dataclasses import dataclass

from imagenetd.config.qc import Repeats, SentinelRule


@dataclass(frozen=True, slots=True)
class SentinelDesign:
    """The sentinels of one task."""

    num_positive: int = 1
    num_negative: int = 1
    num_consistency: int = 2
    rule: SentinelRule = SentinelRule.both
    repeats: Repeats = Repeats.items
    num_hard_positive: int = 0
    """Hard images never come twice."""
    num_hard_negative: int = 0


@dataclass(frozen=True, slots=True)
class Habits:
    """How a worker answers an image, independently from image to image.

    With probability `together` both questions get one answer, right with probability `accuracy`; else each question
    gets its own. A coin is accuracy 0.5 and together 0.
    """

    accuracy: float
    together: float = 1.0


COIN = Habits(0.5, together=0.0)
MAX_COUNT = 100
"""Of one kind of sentinel, for the command."""


def answer_chances(habits: Habits) -> tuple[float, float, float]:
    """Return the chances that both answers are right, exactly one is, none is.

    >>> answer_chances(COIN), answer_chances(Habits(0.75))
    ((0.25, 0.5, 0.25), (0.75, 0.0, 0.25))
    """
    right, joint = habits.accuracy, habits.together
    both = joint * right + (1 - joint) * right**2
    one = (1 - joint) * 2 * right * (1 - right)
    none = joint * (1 - right) + (1 - joint) * (1 - right) ** 2
    return both, one, none


def repeat_counts(num_positive: int, num_negative: int, num_consistency: int) -> tuple[int, int]:
    """Return how many positive and how many negative sentinels come twice, as equal as can be.

    >>> repeat_counts(1, 1, 2), repeat_counts(3, 0, 2), repeat_counts(2, 3, 3)
    ((1, 1), (2, 0), (2, 1))
    """
    positive = max(num_consistency - num_negative, min(num_positive, (num_consistency + 1) // 2))
    return positive, num_consistency - positive


def pass_chance(design: SentinelDesign, habits: Habits, *, invalid_share: float = 0.0) -> float:
    """Return the probability that a response fails no sentinel of the design.

    It is exact for workers who do not remember a repeated image, and are as accurate on hard images as on others.

    Args:
        design: Of a task.
        habits: Of the worker.
        invalid_share: Of the images to be judged, which do not show their object; it matters where they are repeated.

    >>> pass_chance(SentinelDesign(), COIN) == 1 / 256
    True
    """
    both, one, none = answer_chances(habits)
    if design.rule is SentinelRule.both:
        positive, negative = both, both
        equal = (
            both**2 + none**2 + one**2 / 2
        )  # with one right answer it is either question's with equal chance
    elif design.rule is SentinelRule.accepted:
        # On an image that shows the object one right answer accepts; on another object one wrong answer does.
        positive, negative = both + one, both
        # Of a repeated image that shows the object one right answer accepts, of one that does not one wrong answer.
        chances = ((1 - invalid_share, both + one), (invalid_share, one + none))
        equal = sum(share * (yes**2 + (1 - yes) ** 2) for share, yes in chances)
    else:
        positive = negative = habits.accuracy
        equal = habits.accuracy**2 + (1 - habits.accuracy) ** 2
    num_positive, num_negative, num_equal = design.num_positive, design.num_negative, design.num_consistency
    if design.repeats is Repeats.clear:  # whoever was right on a sentinel must be right on it again
        more_positive, more_negative = repeat_counts(num_positive, num_negative, num_equal)
        num_positive, num_negative, num_equal = num_positive + more_positive, num_negative + more_negative, 0
    num_positive, num_negative = (
        num_positive + design.num_hard_positive,
        num_negative + design.num_hard_negative,
    )
    return positive**num_positive * negative**num_negative * equal**num_equal


def odds_lines(design: SentinelDesign, accuracy: float, *, invalid_share: float = 0.0) -> list[str]:
    """Return what a design does to a coin-flipper, to somebody who always says yes, and to an accurate worker."""
    coin = pass_chance(design, COIN, invalid_share=invalid_share)
    rejected = [
        1 - pass_chance(design, Habits(accuracy, together), invalid_share=invalid_share)
        for together in (1.0, 0.0)
    ]
    twice = (
        "sentinels"
        if design.repeats is Repeats.clear
        else f"images to be judged, {invalid_share:.0%} of them invalid"
    )
    yes = "never" if design.num_negative + design.num_hard_negative else "always"
    hard = {"positive": design.num_hard_positive, "negative": design.num_hard_negative}
    counts = "".join(f", {count} hard {kind}" for kind, count in hard.items() if count)
    return [
        f"sentinels: {design.num_positive} positive, {design.num_negative} negative, "
        f"{design.num_consistency} consistency{counts}, binding {design.rule.value}; what comes twice: {twice}",
        f"a coin-flipper passes with {coin:.3%} (1 in {1 / coin:,.0f}); somebody who always says yes passes {yes}",
        f"a {accuracy:.0%}-accurate worker is rejected with {rejected[0]:.1%} when a slip spoils both questions, "
        f"{rejected[1]:.1%} when it spoils one",
    ]


def main() -> None:
    """Print the chances for the design of the command line."""
    parser = argparse.ArgumentParser(description="What a design of sentinels catches.")
    kinds = {"positive": 1, "negative": 1, "consistency": 2, "hard-positive": 0, "hard-negative": 0}
    for kind, default in kinds.items():
        parser.add_argument(f"--{kind}", type=_count, default=default, help="sentinels of a task")
    parser.add_argument("--rule", choices=[rule.value for rule in SentinelRule], default="both")
    parser.add_argument(
        "--repeats", choices=[way.value for way in Repeats], default="clear", help="what comes twice"
    )
    parser.add_argument("--accuracy", type=_share, default=0.95, help="of a good worker, 0 to 1")
    parser.add_argument(
        "--invalid-share",
        type=_share,
        default=0.0,
        help="of the images to be judged, 0 to 1; for --repeats items",
    )
    asked = parser.parse_args()
    repeats = Repeats(asked.repeats)
    if repeats is Repeats.clear and asked.consistency > asked.positive + asked.negative:
        parser.error(
            "--consistency is above --positive + --negative, which are what comes twice: add --repeats items"
        )
    rule, hard = SentinelRule(asked.rule), (asked.hard_positive, asked.hard_negative)
    design = SentinelDesign(asked.positive, asked.negative, asked.consistency, rule, repeats, *hard)
    print("\n".join(odds_lines(design, asked.accuracy, invalid_share=asked.invalid_share)))


def _share(text: str) -> float:
    share = float(text)
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return share


def _count(text: str) -> int:
    count = int(text)
    if not 0 <= count <= MAX_COUNT:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and {MAX_COUNT}")
    return count


if __name__ == "__main__":
    main()
