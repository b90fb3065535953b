"""Published ports of a Compose file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address

from pipeline.compose.places import Map, Place, Seq, kind
from pipeline.compose.view import View, as_text, is_scalar, variables_hint

_SHORT = re.compile(
    r"(?:(?P<ip>\[[0-9A-Fa-f:.]+\]|[0-9]+(?:\.[0-9]+){3}):)?(?:(?P<published>[0-9]*(?:-[0-9]+)?):)?(?P<target>[0-9]+(?:-[0-9]+)?)"
    r"(?:/(?P<protocol>[A-Za-z]+))?"
)
_MAX_PORT = 65535
_MAX_RANGE = 1000
# Ports of protocols other than HTTP.
_TCP = frozenset(
    {
        21,
        22,
        23,
        25,
        53,
        1025,
        110,
        143,
        389,
        465,
        587,
        636,
        993,
        995,
        1433,
        1521,
        1883,
        2181,
        3306,
        4222,
        5432,
        5671,
        5672,
        6379,
    }
) | frozenset({6380, 6432, 8883, 9042, 9092, 11211, 26379, 26257, 27017, 28015, 33060, 50000, 61613, 61616})
# Ports on which debuggers listen.
DEBUG_PORTS = frozenset({2345, 5005, 5678, 9003, 9229, 9230, 35729, 24678, 40000})


@dataclass(frozen=True)
class Published:
    """A port of a container, and the one of this machine by which it is reached. `ip` is empty for all addresses."""

    place: Place
    ip: str
    published: int
    target: int
    protocol: str
    is_chosen: bool = True

    @property
    def is_http(self) -> bool:
        """True unless the protocol or the port is that of something else."""
        return self.protocol == "tcp" and self.target not in _TCP

    @property
    def text(self) -> str:
        """The short form of Compose."""
        end = "" if self.protocol == "tcp" else f"/{self.protocol}"
        ip = f"[{self.ip}]" if ":" in self.ip else self.ip
        return f"{ip}:{self.published}:{self.target}{end}" if ip else f"{self.published}:{self.target}{end}"


def ports_of(service: View) -> list[Published]:
    """Return the published ports of a service. A port without one of this machine gets the same number."""
    value = service.data.get("ports")
    if value is None:
        return []
    if not isinstance(value, Seq):
        service.mistake("ports", f"must be a list, got {kind(value)}")
        return []
    found: list[Published] = []
    for index, (item, place) in enumerate(value.entries()):
        path = f"{service.where('ports')}[{index}]"
        if isinstance(item, Map):
            found += _long(View(item, path, service.report, service.variables), place)
        elif is_scalar(item) and not isinstance(item, bool):
            found += _short(service, as_text(item), place, path)
        elif item is not None:
            service.report.mistake(place, path, f"must be a port such as 8000:80, got {kind(item)}")
    return list({(each.ip, each.published, each.protocol): each for each in found}.values())


def exposed_ports(service: View) -> list[int]:
    """Return the ports that a service exposes to other services."""
    found = []
    for text in service.texts("expose"):
        match = re.fullmatch(r"([0-9]{1,5})(?:-[0-9]{1,5})?(?:/[a-z]+)?", text)
        if match and 1 <= int(match[1]) <= _MAX_PORT:
            found.append(int(match[1]))
        else:
            service.mistake("expose", f"must be ports such as 8000, got {text!r}")
    return found


def _short(service: View, written: str, place: Place, path: str) -> list[Published]:
    text = service.variables.resolve(written, place, path)
    match = _SHORT.fullmatch(text.strip())
    if match is None:
        hint = variables_hint(written)
        service.report.mistake(
            place, path, f"must be a port such as 8000:80 or 127.0.0.1:8000:80/tcp, got {text!r}", hint
        )
        return []
    published = match["published"] or ""
    return _pairs(service, place, path, (match["ip"] or "", published, match["target"], match["protocol"] or "tcp"))


def _long(view: View, place: Place) -> list[Published]:
    target = view.text("target") or ""
    published = view.text("published") or ""
    if not re.fullmatch("[0-9]{1,5}", target):
        view.report.mistake(place, view.where("target"), f"must be a port from 1 to {_MAX_PORT}, got {target!r}")
        return []
    if not re.fullmatch(r"([0-9]{1,5}(-[0-9]{1,5})?)?", published):
        view.report.mistake(place, view.where("published"), f"must be a port from 1 to {_MAX_PORT}, got {published!r}")
        return []
    first = published.partition("-")[0]
    return _pairs(view, place, view.path, (view.text("host_ip") or "", first, target, view.text("protocol") or "tcp"))


def _pairs(view: View, place: Place, path: str, parts: tuple[str, str, str, str]) -> list[Published]:
    ip, published, target, protocol = parts[0].strip("[]"), parts[1], parts[2], parts[3].lower()
    targets, hosts = _range(target), _range(published)
    if protocol not in ("tcp", "udp"):
        view.report.left_out(place, path, f"the balancer has no protocol {protocol}")
        return []
    if not _is_address(ip) or targets is None or hosts is None or (published and not hosts):
        text = ":".join(filter(None, parts[:3]))
        view.report.mistake(
            place, path, f"must be ports from 1 to {_MAX_PORT} and an address of this machine, got {text!r}"
        )
        return []
    if len(hosts) > 1 and len(targets) == 1:
        hosts = hosts[:1]
    if hosts and len(hosts) != len(targets):
        view.report.mistake(place, path, f"must have two ranges of the same length, got {published}:{target}")
        return []
    # The balancer binds all addresses by default.
    ip = "" if ip and ip_address(ip).is_unspecified else ip
    pairs = zip(hosts or targets, targets, strict=True)
    return [Published(place, ip, host, port, protocol, bool(hosts)) for host, port in pairs]


def _range(text: str) -> list[int] | None:
    """Return the ports of a range, or None for one that is not valid."""
    if not text:
        return []
    first, _, last = text.partition("-")
    low, high = int(first or 0), int(last or first or 0)
    return list(range(low, high + 1)) if 1 <= low <= high <= _MAX_PORT and high - low < _MAX_RANGE else None


def _is_address(text: str) -> bool:
    try:
        return not text or bool(ip_address(text))
    except ValueError:
        return False
