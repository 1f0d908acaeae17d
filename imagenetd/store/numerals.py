"""Numbers as people write them: never an exponent, `nan`, `inf` or a zero with a minus sign."""

import math
from typing import Any

NOT_KNOWN = "-"
"""Stands where there is no number."""


def known(value: Any) -> Any:
    """Return a value as JSON knows it: None for NaN, which it does not have.

    >>> known(0.5), known(float("nan")), known("mug")
    (0.5, None, 'mug')
    """
    return None if isinstance(value, float) and math.isnan(value) else value


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


def percent_interval(
    low: float, high: float, *, digits: int = 0, signed: bool = False, between: str = ", "
) -> str:
    """Return `[65, 77]`, the ends of an interval of shares in percent; `[-]` where there is none.

    Where rounding would leave no width there are more digits: nobody may read that a number is known exactly.

    >>> percent_interval(0.654, 0.766), percent_interval(0.9960, 1.0), percent_interval(-0.0004, 0.3, digits=1)
    ('[65, 77]', '[99.6, 100]', '[0.0, 30.0]')
    """
    if not (math.isfinite(low) and math.isfinite(high)):
        return f"[{NOT_KNOWN}]"
    sign, texts = "+" if signed else "", ["", ""]
    for places in range(digits, digits + 4):
        texts = [f"{100 * end:{sign}z.{places}f}" for end in (low, high)]
        if texts[0] != texts[1]:
            break
    if digits == 0:
        texts = [text.rstrip("0").rstrip(".") if "." in text else text for text in texts]
    return f"[{between.join(texts)}]"


def counted(count: int, one: str, many: str = "") -> str:
    """Return `1 image`, `2 images`, `1,200 images`.

    >>> counted(1, "image"), counted(1200, "image"), counted(2, "category", "categories")
    ('1 image', '1,200 images', '2 categories')
    """
    return f"{count:,} {one if count == 1 else many or one + 's'}"
