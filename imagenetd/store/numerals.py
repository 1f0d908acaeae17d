"""Numbers as people write them: never an exponent, `nan`, `inf` or a zero with a minus sign."""

import math

NOT_KNOWN = "-"
"""Stands where there is no number."""


def significant(value: float | None, digits: int = 2) -> str:
    """Return a number with so many significant digits, thousands set apart; `-` where there is none.

    >>> significant(100), significant(8.333), significant(0.00001234), significant(-0.0), significant(float("nan"))
    ('100', '8.3', '0.000012', '0', '-')
    """
    if value is None or not math.isfinite(value):
        return NOT_KNOWN
    if value == 0:
        return "0"
    places = digits - 1 - math.floor(math.log10(abs(value)))
    rounded = round(value, places)  # 99.6 becomes 100, which has one digit more before the point
    text = f"{rounded:,.{max(0, places)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def p_value(value: float) -> str:
    """Return `p = 0.012`, and `p < 0.0001` for what is smaller; resampling and normal tails know no more.

    >>> p_value(0.0123), p_value(1e-12), p_value(1.0)
    ('p = 0.012', 'p < 0.0001', 'p = 1')
    """
    return "p < 0.0001" if value < 0.0001 else f"p = {significant(value)}"
