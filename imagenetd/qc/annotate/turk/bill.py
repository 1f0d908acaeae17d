"""What tasks on Mechanical Turk cost. Pure.

Amazon's published fees (look at the current price list before a large order): 20% of the reward, 40% for a HIT with ten
or more assignments, at least one cent for each assignment, rounded half up to a cent.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

CENT = Decimal("0.01")
FEE, FEE_OF_MANY = Decimal("0.20"), Decimal("0.40")
MANY = 10
"""Assignments of one HIT from which on the fee is doubled; a HIT begun with fewer cannot be raised to so many."""


@dataclass(frozen=True, slots=True)
class Bill:
    """What is to be paid when all is approved."""

    num_assignments: int
    reward_usd: Decimal
    """To the workers."""
    fee_usd: Decimal
    """To Amazon."""

    @property
    def total_usd(self) -> Decimal:
        """Both together."""
        return self.reward_usd + self.fee_usd

    def __str__(self) -> str:
        return (
            f"{self.num_assignments} assignments: {self.reward_usd:.2f} USD to workers + {self.fee_usd:.2f} USD fee "
            f"= {self.total_usd:.2f} USD"
        )


def fee_usd(reward_usd: Decimal, *, max_assignments: int) -> Decimal:
    """Return Amazon's fee for one assignment of a HIT with so many.

    >>> fee_usd(Decimal("0.80"), max_assignments=9), fee_usd(Decimal("0.80"), max_assignments=10)
    (Decimal('0.16'), Decimal('0.32'))
    """
    share = FEE_OF_MANY if max_assignments >= MANY else FEE
    return max(CENT, (reward_usd * share).quantize(CENT, ROUND_HALF_UP))


def bill(reward_usd: Decimal, assignments: Iterable[tuple[int, int]]) -> Bill:
    """Return what some HITs cost.

    Args:
        reward_usd: For one assignment.
        assignments: For each HIT how many are to be paid, and how many it has at most (which decides the fee).
    """
    listed = list(assignments)
    fees = (count * fee_usd(reward_usd, max_assignments=most) for count, most in listed)
    count = sum(count for count, _ in listed)
    return Bill(count, count * reward_usd, sum(fees, Decimal(0)))


def reward_of(amount: float) -> Decimal:
    """Return a reward in whole cents."""
    return Decimal(str(amount)).quantize(CENT, ROUND_HALF_UP)
