"""What a sentinel plan catches: exact chances that a worker of known habits passes it. Pure arithmetic.

python -m imagenetd.qc.odds --positive 1 --negative 1 --consistency 2 --rule both --accuracy 0.95
"""

import argparse
from dataclasses import dataclass

from imagenetd.qc_config import SentinelRule


@dataclass(frozen=True, slots=True)
class SentinelPlan:
    """The sentinels of one task."""

    num_positive: int = 1
    num_negative: int = 1
    num_consistency: int = 2
    rule: SentinelRule = SentinelRule.both


@dataclass(frozen=True, slots=True)
class Habits:
    """How a worker answers an image, independently from image to image.

    With probability `together` both questions get one answer, right with probability `accuracy`; else each question
    gets its own. A coin is accuracy 0.5 and together 0.
    """

    accuracy: float
    together: float = 1.0


COIN = Habits(0.5, together=0.0)


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


def pass_chance(plan: SentinelPlan, habits: Habits) -> float:
    """Return the probability that a response fails no sentinel of the plan.

    It is exact for workers who do not remember a repeated image.

    >>> pass_chance(SentinelPlan(), COIN) == 1 / 256
    True
    """
    both, one, none = answer_chances(habits)
    if plan.rule is SentinelRule.both:
        positive, negative = both, both
        equal = (
            both**2 + none**2 + one**2 / 2
        )  # with one right answer it is either question's with equal chance
    elif plan.rule is SentinelRule.accepted:
        # On an image that shows the object one right answer accepts; on another object one wrong answer does.
        positive, negative = both + one, both
        yes = both + one  # of a repeated image that shows the object, which most mined images do
        equal = yes**2 + (1 - yes) ** 2
    else:
        positive = negative = habits.accuracy
        equal = habits.accuracy**2 + (1 - habits.accuracy) ** 2
    return positive**plan.num_positive * negative**plan.num_negative * equal**plan.num_consistency


def odds_lines(plan: SentinelPlan, accuracy: float) -> list[str]:
    """Return what a plan does to a coin-flipper, to somebody who always says yes, and to an accurate worker."""
    coin = pass_chance(plan, COIN)
    rejected = [1 - pass_chance(plan, Habits(accuracy, together)) for together in (1.0, 0.0)]
    yes = "never" if plan.num_negative else "always"
    return [
        f"sentinels: {plan.num_positive} positive, {plan.num_negative} negative, {plan.num_consistency} consistency, "
        f"binding {plan.rule.value}",
        f"a coin-flipper passes with {coin:.3%} (1 in {1 / coin:,.0f}); somebody who always says yes passes {yes}",
        f"a {accuracy:.0%}-accurate worker is rejected with {rejected[0]:.1%} when a slip spoils both questions, "
        f"{rejected[1]:.1%} when it spoils one",
    ]


def main() -> None:
    """Print the chances for the plan of the command line."""
    parser = argparse.ArgumentParser(description="What a sentinel plan catches.")
    for kind, default in (("positive", 1), ("negative", 1), ("consistency", 2)):
        parser.add_argument(f"--{kind}", type=int, default=default, help="sentinels of a task")
    parser.add_argument("--rule", choices=[rule.value for rule in SentinelRule], default="both")
    parser.add_argument("--accuracy", type=float, default=0.95, help="of a good worker, 0 to 1")
    asked = parser.parse_args()
    plan = SentinelPlan(asked.positive, asked.negative, asked.consistency, SentinelRule(asked.rule))
    print("\n".join(odds_lines(plan, asked.accuracy)))


if __name__ == "__main__":
    main()
