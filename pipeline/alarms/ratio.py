"""E-values of a window for the ratio of bad responses, such as those with 5XX, by the alternatives of `ODDS_RATIOS`."""

from __future__ import annotations

import math
from typing import NamedTuple

from pipeline.alarms.wealth import ODDS_RATIOS

_LOG_ODDS_RATIOS = tuple(math.log(odds) for odds in ODDS_RATIOS)
_HALVINGS = 60
_NO_EVIDENCE = (0.0,) * len(ODDS_RATIOS)


class Count(NamedTuple):
    """How many of a number of responses were bad."""

    bad: int = 0
    total: int = 0

    def plus(self, other: Count) -> Count:
        """Return the sum of both counts."""
        return Count(self.bad + other.bad, self.total + other.total)


def against_limit(new: Count, limit: float) -> tuple[float, ...]:
    """Return the logarithms of the e-values against "each response is bad with a probability of at most `limit`".

    They are likelihood ratios of the binomial distribution, against the limit itself. A lower probability makes their
    expectation smaller, since it is linear in it (Wald, "Sequential Analysis", 1947). `limit` is between 0 and 1.
    """
    return tuple(_likelihood_ratio(new, _with_odds(limit, odds), limit) for odds in ODDS_RATIOS)


def against_previous(new: Count, previous: Count) -> tuple[float, ...]:
    """Return the logarithms of the e-values against "the new release has no more bad responses than the previous one".

    Given how many of all responses in the window are bad, the number of those of the new release is hypergeometric, so
    the ratio itself, which may change from window to window, has no influence (Fisher, 1935; for e-values Turner, Ly
    and Grünwald, "Generic E-variables for exact sequential k-sample tests", 2024). The e-value is `odds ** bad`,
    divided by a bound of its expectation. Hoeffding (1963, theorem 4) shows that draws without replacement have a
    smaller one than draws with replacement. Of the four ways to see the table as draws, that with the fewest has the
    best bound, which is exact for a single draw.
    """
    bad, total = new.bad + previous.bad, new.total + previous.total
    if not (new.total and previous.total and 0 < bad < total):
        return _NO_EVIDENCE
    share, rate = new.total / total, bad / total
    fewest = min(bad, total - bad, new.total, previous.total)
    factors = []
    for odds, log_odds in zip(ODDS_RATIOS, _LOG_ODDS_RATIOS, strict=True):
        if fewest == bad:
            bound = bad * math.log1p(share * (odds - 1))
        elif fewest == new.total:
            bound = new.total * math.log1p(rate * (odds - 1))
        elif fewest == previous.total:
            bound = bad * log_odds + previous.total * math.log1p(rate * (1 / odds - 1))
        else:
            bound = new.total * log_odds + (total - bad) * math.log1p(share * (1 / odds - 1))
        factors.append(new.bad * log_odds - bound)
    return tuple(factors)


def against_previous_plus(new: Count, previous: Count, margin: float, earlier: Count) -> tuple[float, ...]:
    """Return the logarithms of the e-values against "the ratio is at most `margin` above that of the previous release".

    They are likelihood ratios against the point of this hypothesis that is closest to the alternative, which is valid
    because the hypothesis is convex (Turner and Grünwald, "Exact anytime-valid confidence intervals for contingency
    tables and beyond", 2023). The alternative has the ratio of the previous release in windows before this one, which
    `earlier` counts. `margin` is between 0 and 1.
    """
    if not (new.total and previous.total and earlier.total):
        return _NO_EVIDENCE
    # Half a response more of each kind, after Krichevsky and Trofimov (1981).
    base = min((earlier.bad + 0.5) / (earlier.total + 1), (1 - margin) * 0.999)
    factors = []
    for odds in ODDS_RATIOS:
        worse = _with_odds(base + margin, odds)
        closest = _closest(worse, base, margin, new.total, previous.total)
        factors.append(_likelihood_ratio(new, worse, closest + margin) + _likelihood_ratio(previous, base, closest))
    return tuple(factors)


def _with_odds(ratio: float, odds: float) -> float:
    return odds * ratio / (1 - ratio + odds * ratio)


def _likelihood_ratio(count: Count, alternative: float, hypothesis: float) -> float:
    good = count.total - count.bad
    log_good = math.log1p(-alternative) - math.log1p(-hypothesis)
    return count.bad * math.log(alternative / hypothesis) + good * log_good


def _closest(worse: float, base: float, margin: float, new: int, previous: int) -> float:
    """Return p of the pair (p + margin, p) with the smallest Kullback-Leibler divergence from (worse, base)."""
    low, high = base, worse - margin
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        above = middle + margin
        slope = new * (worse - above) / (above * (1 - above)) + previous * (base - middle) / (middle * (1 - middle))
        low, high = (middle, high) if slope > 0 else (low, middle)
    return (low + high) / 2
