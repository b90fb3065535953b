"""An e-process: evidence against "not worse" that may be read at any time."""

from __future__ import annotations

import math
from collections.abc import Sequence

ODDS_RATIOS = (1.2, 1.6, 2.5, 5.0, 15.0, 60.0)
"""The alternatives to "not worse": how many times higher the odds of a bad response are. All have the same weight."""

# Half of the stake is bet from the start. The rest is bet little by little, so that a release that gets worse after
# minutes of good responses, in which the first half is lost, is found too.
_AT_START = 0.5
_PER_WINDOW = 1 / 512
# Lowering evidence keeps it valid, and these keep all products finite.
_MAX_EXPONENT, _MAX_CAPITAL = 300.0, 1e150


class Wealth:
    """The capital of a gambler who bets that the new release is worse, starting from 1.

    If it is not worse, the capital is a supermartingale, whatever the times at which it is read. By Ville's inequality
    (1939) it then reaches 1/a at any time with a probability of at most a. See Shafer, "Testing by betting" (2021), and
    Ramdas, Grünwald, Vovk and Shafer, "Game-theoretic statistics and safe anytime-valid inference" (2023). The capital
    is the average over `ODDS_RATIOS`, the method of mixtures of Robbins (1970). The later stakes are the restarts of
    Shin, Ramdas and Rinaldo, "E-detectors" (2024), with weights that add up to at most 1.
    """

    def __init__(self) -> None:
        self._reserve = 1 - _AT_START
        self._capital = [_AT_START] * len(ODDS_RATIOS)

    def bet(self, log_factors: Sequence[float]) -> None:
        """Multiply the capital by the e-value of a window for each alternative, of which the logarithms are given.

        The expectation of an e-value is at most 1 if the release is not worse, given all that was seen before.
        """
        stake = self._reserve * _PER_WINDOW
        self._reserve -= stake
        for index, exponent in enumerate(log_factors):
            factor = math.exp(exponent if exponent < _MAX_EXPONENT else _MAX_EXPONENT)
            grown = (self._capital[index] + stake) * factor
            self._capital[index] = grown if grown < _MAX_CAPITAL else _MAX_CAPITAL

    @property
    def e_value(self) -> float:
        """The capital now, with the stake that is not bet yet."""
        return sum(self._capital) / len(self._capital) + self._reserve
