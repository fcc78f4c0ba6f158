"""Numbers below zero get a minus, and nothing else does."""

import pytest

from tools.typography import minus


@pytest.mark.parametrize(
    ("typed", "printed"),
    [
        ("| -0.003 | +0.001 |", "| −0.003 | +0.001 |"),
        ("-0.015 to -0.003 (-1)", "−0.015 to −0.003 (−1)"),
        ("seed 0: -1<br>seed 1: -2", "seed 0: −1<br>seed 1: −2"),
        ("[-0.5](#run-laptop-5)", "[−0.5](#run-laptop-5)"),
        ("slides 253-258 on 2026-11-27", "slides 253-258 on 2026-11-27"),
        ("RD+SD-10, FCN-8s, --5, `a -1 b`", "RD+SD-10, FCN-8s, --5, `a -1 b`"),
        ("-1\n```bash\nrun --seed -1\n```\n-2", "−1\n```bash\nrun --seed -1\n```\n−2"),
    ],
)
def test_minus(typed, printed):
    assert minus(typed) == printed
