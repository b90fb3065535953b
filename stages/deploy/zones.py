"""The zones of replicas: which ones get the next replicas, and which ones a retirement would leave empty. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from stages.deploy.decision import Replica


def spread(zones: Sequence[str], taken: Iterable[str | None]) -> Iterator[str | None]:
    """Yield the zones of further replicas: the one with the fewest, the first of several, or None without zones.

    `taken`: the zones of the release's other replicas. So each release has the same number in a zone as the one before,
    and no zone is empty while one replaces the other.
    """
    count = Counter(taken)
    while True:
        zone = min(zones, key=lambda zone: count[zone], default=None)
        count[zone] += 1
        yield zone


def most_crowded_first(replicas: Sequence[Replica]) -> list[Replica]:
    """Return replicas in the order in which they can go: those that leave the most others in their zone come first.

    Of these, the first in `replicas` comes first.
    """
    others = Counter[str | None]()
    ranked = []
    for replica in reversed(replicas):
        ranked.append((-others[replica.zone], replica))
        others[replica.zone] += 1
    ranked.reverse()
    return [replica for _, replica in sorted(ranked, key=lambda pair: pair[0])]


def without_emptying(leaving: Iterable[Replica], standing: Iterable[Replica]) -> Iterator[Replica]:
    """Yield the replicas of `leaving` that can go one after the other, while a healthy one is left in their zone.

    `standing` are all replicas that may get requests. One without a zone gets those of every zone.
    """
    healthy = Counter(replica.zone for replica in standing if replica.healthy)
    for replica in leaving:
        left = healthy[replica.zone] - replica.healthy
        if replica.zone is None or left + healthy[None] > 0:
            healthy[replica.zone] = left
            yield replica
