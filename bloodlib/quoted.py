"""The numbers that the book quotes from papers, typed once in data/quoted.yml."""

from __future__ import annotations

from functools import cache
from typing import Any

import yaml

from ._files import package_data


def quoted(key: str) -> Any:
    """Give a number from a paper by its dotted key.

    Parameters
    ----------
    key : str
        Such as ``bailo2019.table1.rbcs_per_image_mean``; a key that names a group gives the group
        as a dict, its ``source`` included.

    Raises
    ------
    ValueError
        If there is no such key; the message lists what is there at the place where it went wrong.

    Examples
    --------
    >>> quoted("bailo2019.table1.rbcs_per_image_mean")
    669
    """
    value, walked = _content(), []
    for part in key.split("."):
        if not isinstance(value, dict) or part not in value:
            there = ", ".join(map(str, value)) if isinstance(value, dict) else f"the value {value!r} and nothing below"
            raise ValueError(f"quoted number {key!r}: under {'.'.join(walked) or 'the top'} there is {there}")
        value, walked = value[part], [*walked, part]
    return value


@cache
def _content() -> dict[str, Any]:
    return yaml.safe_load(package_data("quoted.yml").read_text(encoding="utf-8"))
