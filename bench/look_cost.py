"""CPU time of one look at seven alarms of a simulated canary."""

from __future__ import annotations

import time

import numpy as np

from bench.deployment_shapes import SHAPES, means
from bench.simulated_canary import Drawn
from pipeline.alarms.alarms import Alarms
from pipeline.alarms.rollback_on import RollbackOn

_ROUNDS = 5
_CONDITIONS = (
    {"metric": "http_5xx_ratio", "above": "1%"},
    {"metric": "http_5xx_ratio", "worse_by": "0.5%"},
    {"metric": "http_5xx_ratio", "worse_than_previous": True},
    {"metric": "p99", "above": "300ms"},
    {"metric": "p99", "slower_by": "10%"},
    {"metric": "response_time", "worse_than_previous": True},
    {"metric": "restarts", "above": 0},
)


def look_cost() -> float:
    """Return the milliseconds of a look: a window of both releases, and seven verdicts. The best of five rounds."""
    rng = np.random.default_rng(1)
    new, previous = ([*Drawn(mean, rng).windows()] for mean in means(SHAPES[0]))
    settings = RollbackOn.model_validate(_CONDITIONS)
    costs = []
    for _ in range(_ROUNDS):
        alarms, start = Alarms(settings), time.process_time()
        for one, other in zip(new, previous, strict=True):
            alarms.add(one, other)
            alarms.verdicts()
        costs.append((time.process_time() - start) / len(new) * 1000)
    return min(costs)
