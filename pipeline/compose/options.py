"""The settings of a container, under the names that pipeline.yaml shares with Compose."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pipeline.base.quantity import format_duration
from pipeline.base.suggestion import nearest
from pipeline.compose.left_out import READ, REASONS
from pipeline.compose.places import Map, Seq, kind
from pipeline.compose.variables import escaped
from pipeline.compose.view import View, is_scalar

_DROPPED_LABELS = re.compile(
    r"traefik\.|com\.docker\.|penstock\.|caddy|homepage\.|diun\.|com\.centurylinklabs\.", re.IGNORECASE
)
# Of programs that start containers by the clock: ofelia, chadburn and swarm-cronjob.
_CRON_LABELS = re.compile(r"(ofelia|chadburn|swarm\.cronjob)\.", re.IGNORECASE)
_CRON_REASON = "make it a service of deploy.services with schedule, which pipeline serve runs"
_SIMPLE = ("user", "working_dir", "stop_signal")
_MIN_CPUS = 0.01


def container_options(service: View, tmpfs: list[str], networks: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings besides command, environment, volumes and health. `networks` are the external ones."""
    found: dict[str, Any] = {key: service.reference(key) for key in _SIMPLE}
    ulimits = service.view("ulimits")
    grace = service.duration("stop_grace_period")
    found |= {
        "read_only": service.boolean("read_only"),
        "tmpfs": tmpfs,
        **_limits(service),
        "ulimits": {name: _ulimit(ulimits, name) for name in ulimits.data} if ulimits else None,
        **_privileges(service),
        "extra_hosts": _extra_hosts(service),
        "labels": _labels(service),
        **_logging(service),
        "gpus": _gpus(service),
        "devices": _devices(service),
        "networks": _shortest(joined_networks(service, networks)),
        "init": service.boolean("init"),
        "stop_grace": None if grace is None else format_duration(grace),
    }
    # Only one of these has a meaning as `false`.
    return {key: value for key, value in found.items() if value or key == "no_new_privileges"}


def note_unknown(service: View, name: str) -> None:
    """Note each key of a service that is left out."""
    for key, value in service.data.items():
        if key in READ or key.startswith("x-") or value is None or value is False or value in ([], {}):
            continue
        if key in REASONS:
            if REASONS[key] and not (key == "container_name" and value == name):
                service.left_out(key, REASONS[key].format(name=name))
            continue
        near = nearest(key, READ | REASONS.keys())
        service.left_out(key, f"Compose has no such key; did you mean {near}?" if near else "Compose has no such key")


def _limits(service: View) -> dict[str, Any]:
    deploy = service.view("deploy")
    resources = deploy.view("resources") if deploy else None
    limits = resources.view("limits") if resources else None
    reserved = resources.view("reservations") if resources else None
    for key in ("memory", "cpus"):
        if reserved and key in reserved:
            reserved.left_out(key, "reservations are not supported, only limits")
    found: dict[str, Any] = {}
    memory = (limits.size("memory") if limits else None) or service.size("mem_limit")
    if memory and memory != "0":
        found["memory"] = memory
    cpus = (limits.number("cpus") if limits else None) or service.number("cpus")
    if cpus:
        found["cpus"] = max(cpus, _MIN_CPUS)
    pids = (limits.whole("pids") if limits else None) or service.whole("pids_limit")
    if pids:
        found["pids_limit"] = max(pids, -1)
    if size := service.size("shm_size"):
        found["shm_size"] = size
    return found


def _ulimit(ulimits: View, name: str) -> Any:
    value = ulimits.data[name]
    if isinstance(value, Map):
        limit = View(value, ulimits.where(name), ulimits.report, ulimits.variables)
        soft, hard = limit.whole("soft"), limit.whole("hard")
        if soft is None or hard is None:
            ulimits.mistake(name, "must have soft and hard")
            return None
        return {"soft": soft, "hard": hard}
    return ulimits.whole(name) or 0


def _privileges(service: View) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key in ("cap_add", "cap_drop"):
        if names := service.texts(key):
            found[key] = names
    for text in service.texts("security_opt"):
        name, _, value = text.replace("=", ":").partition(":")
        if name == "no-new-privileges":
            if value == "false":
                found["no_new_privileges"] = False
        else:
            service.left_out("security_opt", f"{text!r} is not supported")
    return found


def _extra_hosts(service: View) -> list[str]:
    value = service.data.get("extra_hosts")
    found = []
    if isinstance(value, Map):
        for name, address, _ in service.pairs("extra_hosts"):
            found.append(f"{name}:{address}")
    else:
        found = [text.replace("=", ":", 1) for text in service.texts("extra_hosts")]
    for text in found:
        if not re.fullmatch(r"[^:\s]+:\S+", text):
            service.mistake("extra_hosts", f"must be NAME:ADDRESS, got {text!r}")
    return [escaped(text) for text in found]


def _labels(service: View) -> dict[str, str]:
    found = {}
    deploy = service.view("deploy")
    for view in (service, deploy) if deploy else (service,):
        for name, _, place in view.pairs("labels"):
            if _CRON_LABELS.match(name):
                service.report.left_out(place, view.where("labels") + f".{name}", _CRON_REASON)
    for name, value, place in service.pairs("labels"):
        if not _DROPPED_LABELS.match(name) and not _CRON_LABELS.match(name):
            found[name] = service.variables.refer(value or "", place, service.where("labels"))
    return found


def _logging(service: View) -> dict[str, Any]:
    view = service.view("logging")
    if view is None:
        return {}
    driver = view.text("driver") or "json-file"
    options = {}
    for name, value, place in view.pairs("options"):
        options[name] = view.variables.resolve(value or "", place, view.where("options"))
    if driver in ("json-file", "local") and options.keys() <= {"max-size", "max-file"}:
        return {"log": _log(view, options)}
    return {"logging": {"driver": driver, **({"options": options} if options else {})}}


def _log(view: View, options: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if size := options.get("max-size"):
        if re.fullmatch(r"\d+(\.\d+)?[kmgKMG]?[bB]?", size):
            found["max_size"] = size
        else:
            view.mistake("options", f"max-size must be a size such as 10m, got {size!r}")
    if count := options.get("max-file"):
        if re.fullmatch(r"\d{1,3}", count) and int(count):
            found["max_files"] = int(count)
        else:
            view.mistake("options", f"max-file must be a number of files, got {count!r}")
    return found


def _gpus(service: View) -> Any:
    """Return `gpus`: all, a number of them, or their ids."""
    value = service.data.get("gpus")
    if is_scalar(value):
        text = service.text("gpus") or ""
        return int(text) if text.isdigit() and text.isascii() else text
    deploy = service.view("deploy")
    resources = deploy.view("resources") if deploy else None
    reserved = resources.view("reservations") if resources else None
    devices = value if isinstance(value, Seq) else reserved.data.get("devices") if reserved else None
    if devices is not None and not isinstance(devices, Seq):
        service.mistake("deploy", f"devices must be a list, got {kind(devices)}")
        return None
    for device in devices or ():
        capabilities = device.get("capabilities") if isinstance(device, Map) else None
        is_gpu = value is not None or (isinstance(capabilities, Seq) and "gpu" in capabilities)
        if isinstance(device, Map) and is_gpu:
            count = device.get("count", "all")
            ids = device.get("device_ids")
            if isinstance(ids, Seq):
                return [{"device_ids": [str(each) for each in ids]}]
            return count if isinstance(count, int) and count > 0 else "all"
    return None


def _short_device(device: Map) -> str:
    """Return the short form of Compose's long one."""
    source = str(device.get("source", ""))
    parts = (source, str(device.get("target", source)), str(device.get("permissions", "rwm")))
    return source if parts == (source, source, "rwm") else ":".join(parts)


def _devices(service: View) -> list[str]:
    """Return `devices` in the short form. What is not below /dev, such as a device of CDI, is left out."""
    value = service.data.get("devices")
    if isinstance(value, Seq) and any(isinstance(each, Map) for each in value):
        found = [_short_device(each) if isinstance(each, Map) else str(each) for each in value]
    else:
        found = service.texts("devices")
    for text in found:
        if not text.startswith("/dev/"):
            service.left_out("devices", f"{text!r} is not a path below /dev")
    return [text for text in found if text.startswith("/dev/")]


def joined_networks(service: View, external: Mapping[str, str]) -> dict[str, Any]:
    """Return the external networks of a service, each with its options or None."""
    value = service.data.get("networks")
    if value is not None and not isinstance(value, Map | Seq):
        service.mistake("networks", f"must be a list or a mapping, got {kind(value)}")
        return {}
    found: dict[str, Any] = {}
    for name in value or ():
        if not isinstance(name, str):
            service.mistake("networks", f"must be names of networks, got {kind(name)}")
            continue
        options = value.get(name) if isinstance(value, Map) else None
        aliases = options.get("aliases") if isinstance(options, Map) and name in external else None
        is_list = isinstance(aliases, Seq) and all(isinstance(each, str) for each in aliases)
        for key, option, place in options.entries() if isinstance(options, Map) else ():
            if option and not (key == "aliases" and is_list):
                reason = "the pipeline's network gives each container its address and its name"
                service.report.left_out(place, f"{service.where('networks')}.{name}.{key}", reason)
        if name in external:
            found[external[name]] = {"aliases": [str(each) for each in aliases]} if aliases and is_list else None
    return found


def _shortest(networks: dict[str, Any]) -> dict[str, Any] | list[str]:
    """Return networks as a list, if none of them has options."""
    return networks if any(networks.values()) else list(networks)
