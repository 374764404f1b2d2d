"""Round numbers for the steps of axes."""

from __future__ import annotations

import math

_MINUTE, _HOUR, _DAY, _YEAR = 60, 3600, 86_400, 31_557_600
_TIME_STEPS = (
    *(1, 2, 5, 10, 30),
    *(_MINUTE * n for n in (1, 2, 5, 10, 30)),
    *(_HOUR * n for n in (1, 3, 6, 12)),
    *(_DAY * n for n in (1, 2, 7, 14, 28, 91)),
)


def round_step(least: float) -> float:
    """The smallest of 1, 2 and 5 times a power of ten that is at least `least`, which is > 0."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(
        (factor * power for factor in (1, 2, 5) if factor * power >= least * (1 - 1e-9)),
        10 * power,
    )


def round_step_below(most: float) -> float:
    """The largest of them that is at most `most`, which is > 0."""
    power = 10.0 ** math.floor(math.log10(most))
    return max(factor * power for factor in (1, 2, 5) if factor * power <= most * (1 + 1e-9))


def time_step(least_s: float) -> float:
    """The smallest usual step of a clock or calendar that is at least `least_s` seconds."""
    for step in _TIME_STEPS:
        if step >= least_s:
            return float(step)
    return max(round_step(least_s / _YEAR), 1.0) * _YEAR
