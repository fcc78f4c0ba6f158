"""What printed text has and typed text lacks: the sign of numbers below zero."""

from __future__ import annotations

import re

# Code, in lines of its own or within one, is left as it is; so is a hyphen after a letter, a digit or another hyphen.
_PARTS = re.compile(r"(?P<code>```.*?```|`[^`\n]*`)|(?<![\w`−-])-(?=\d)", re.DOTALL)


def minus(text: str) -> str:
    """Write the sign of negative numbers in Markdown as a minus, which is as wide as a plus.

    Examples
    --------
    >>> minus("-0.003 to +0.001, 141-222 px, `--seed -1`")
    '−0.003 to +0.001, 141-222 px, `--seed -1`'
    """
    return _PARTS.sub(lambda found: found["code"] or "−", text)
