"""Tunnels that stay open while a run may use them again."""

from __future__ import annotations

from contextlib import ExitStack

from pipeline.engine.ssh.kept_tunnels import KeptTunnels


class Share:
    """A user's share in a tunnel."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.is_open = True

    def close(self) -> None:
        """Leave the tunnel."""
        self.is_open = False


def leave(kept: KeptTunnels, *shares: Share) -> None:
    """Leave tunnels."""
    for share in shares:
        kept.leave(share)  # type: ignore[arg-type]


def test_a_tunnel_is_closed_outside_of_a_block() -> None:
    """At once, and again as often as its user says so."""
    kept, share = KeptTunnels(), Share("a")
    leave(kept, share, share)
    assert not share.is_open


def test_one_share_of_each_tunnel_is_kept() -> None:
    """Until the block ends. Leaving a kept one again changes nothing."""
    kept, first, second, other = KeptTunnels(), Share("a"), Share("a"), Share("b")
    with kept.block():
        leave(kept, first, second, other, first)
        assert [share.is_open for share in (first, second, other)] == [True, False, True]
    assert not first.is_open
    assert not other.is_open
    later = Share("a")
    leave(kept, later)
    assert not later.is_open


def test_blocks_overlap() -> None:
    """Runs of a daemon do. The last one closes what is kept."""
    kept, share = KeptTunnels(), Share("a")
    with ExitStack() as later:
        with ExitStack() as sooner:
            sooner.enter_context(kept.block())
            later.enter_context(kept.block())
            leave(kept, share)
        assert share.is_open
    assert not share.is_open
