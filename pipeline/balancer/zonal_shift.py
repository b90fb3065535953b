"""A zonal shift: a zone of a load balancer that gets no traffic for a while."""

from __future__ import annotations

from datetime import datetime, timedelta

from pipeline.balancer.model import Model, Name
from pipeline.balancer.model.gateway.load_balancer import GatewayLoadBalancerSettings
from pipeline.balancer.model.variants import AnyLoadBalancerSettings
from pipeline.base.clock import Stamp
from pipeline.base.errors import ConfigError
from pipeline.base.schema import StoredStamp
from pipeline.base.suggestion import not_declared

# Less is the time between two readings of the clocks, and the slow correction of one of them.
_CLOCK_STEP = timedelta(seconds=2)


class ZonalShift(Model):
    """A zone of a load balancer that gets no traffic until a time."""

    zone: Name
    until: StoredStamp

    def is_over(self, at: Stamp) -> bool:
        """Return whether the zone gets traffic again."""
        return not self.until.since(at)

    def end(self, at: Stamp) -> datetime:
        """Return the time of its end by the wall clock, which may have been set since it began."""
        end = at.wall + self.until.since(at)
        return self.until.wall if abs(end - self.until.wall) < _CLOCK_STEP else end

    def fits(self, settings: AnyLoadBalancerSettings) -> bool:
        """Return whether a load balancer is enabled in the zone."""
        return self.zone in (settings.zones or {})

    def check(self, settings: AnyLoadBalancerSettings, label: str) -> None:
        """Raise `ConfigError` if a load balancer cannot have this shift. `label` describes it."""
        if not settings.zones:
            raise ConfigError(f"{label} has no zones", hint="declare zones on the load balancer")
        if not self.fits(settings):
            raise not_declared(f"zone {self.zone} of {label}", settings.zones, self.zone)
        if isinstance(settings, GatewayLoadBalancerSettings):
            raise ConfigError(f"{label} is a gateway load balancer, whose zones cannot be shifted away")
        if not settings.attributes.zonal_shift:
            raise ConfigError(
                f"zonal shifts are disabled for {label}", hint="set its attribute zonal_shift.config.enabled to true"
            )
