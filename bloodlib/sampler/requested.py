"""What may be asked of the generator: whole numbers, said clearly where they are not."""

from __future__ import annotations

from typing import Any


def whole(value: Any) -> int | None:
    """Give a whole number as int, whatever its type; None for anything else.

    Examples
    --------
    >>> whole(3.0), whole(2.7), whole("3"), whole(float("nan"))
    (3, None, None, None)
    """
    try:
        return int(value) if value == int(value) else None
    except (TypeError, ValueError, OverflowError):
        return None


def whole_count(count: Any) -> int:
    """Give a number of things as int.

    Raises
    ------
    ValueError
        If it is not a whole number of 0 or more.
    """
    return _not_negative("count", count)


def whole_seed(seed: Any) -> int:
    """Give the seed of a set as int.

    Raises
    ------
    ValueError
        If it is not a whole number of 0 or more.
    """
    return _not_negative("seed", seed)


def _not_negative(name: str, value: Any) -> int:
    number = whole(value)
    if number is None or number < 0:
        raise ValueError(f"{name}={value!r}: a whole number of 0 or more is needed")
    return number


def whole_shape(shape: Any) -> tuple[int, int]:
    """Give the shape of a canvas as (height, width).

    Raises
    ------
    ValueError
        If it is not two whole numbers of at least 1.
    """
    sides = [whole(side) for side in shape] if hasattr(shape, "__iter__") else []
    if len(sides) != 2 or any(side is None or side < 1 for side in sides):
        raise ValueError(f"shape={shape!r}: needed is (height, width), whole numbers of pixels, at least 1 each")
    return sides[0], sides[1]
