"""Keys of a service that have no counterpart in pipeline.yaml, each with its reason."""

from __future__ import annotations

_HOST = "a container of a pipeline does not share this with the machine"
_NETWORK = "the pipeline's network gives each container its address and its name"
_SCHEDULING = "Docker's default is used"

REASONS = {
    "annotations": "use labels",
    "attach": "",
    "blkio_config": "limits of block devices are not supported",
    "cgroup": _HOST,
    "cgroup_parent": _HOST,
    "configs": "build the file into the image, or mount it by an absolute path in volumes",
    "container_name": "several containers of a service run at a time; other services reach it by its name {name}",
    "cpu_count": "use cpus",
    "cpu_percent": "use cpus",
    "cpu_period": "use cpus",
    "cpu_quota": "use cpus",
    "cpu_rt_period": _SCHEDULING,
    "cpu_rt_runtime": _SCHEDULING,
    "cpu_shares": _SCHEDULING,
    "cpuset": _SCHEDULING,
    "credential_spec": "it is for Windows",
    "develop": "",
    "device_cgroup_rules": "name each device in devices",
    "dns": _NETWORK,
    "dns_opt": _NETWORK,
    "dns_search": _NETWORK,
    "domainname": _NETWORK,
    "external_links": "put both into one network with networks",
    "group_add": "set the groups in the image",
    "hostname": _NETWORK,
    "ipc": _HOST,
    "isolation": "it is for Windows",
    "label_file": "write the labels into labels",
    "mac_address": _NETWORK,
    "mem_reservation": "reservations are not supported, only limits",
    "mem_swappiness": _SCHEDULING,
    "memswap_limit": _SCHEDULING,
    "models": "run the model as a service of its own",
    "network_mode": "containers of a pipeline have a network of their own, by which the balancer reaches them",
    "oom_kill_disable": _SCHEDULING,
    "oom_score_adj": _SCHEDULING,
    "pid": _HOST,
    "platform": "the image is built for this machine; build.platforms sets another one",
    "post_start": "use deploy.release_command, or the command itself",
    "pre_stop": "use on_drain",
    "privileged": "use cap_add with the capabilities that it needs",
    "provider": "providers are not supported",
    "pull_policy": "",
    "runtime": "the runtime of Docker's configuration is used",
    "stdin_open": "",
    "storage_opt": "it depends on Docker's storage driver",
    "sysctls": "settings of the kernel are not supported",
    "tty": "",
    "use_api_socket": "Docker's socket gives all rights on this machine",
    "userns_mode": _HOST,
    "uts": _HOST,
    "volumes_from": "write the same volumes in both",
}
"""A reason is empty where the key only matters for the command line of Compose."""

READ = frozenset(
    {
        *(
            "build",
            "cap_add",
            "cap_drop",
            "command",
            "cpus",
            "depends_on",
            "deploy",
            "devices",
            "entrypoint",
            "env_file",
        ),
        *("environment", "expose", "extends", "extra_hosts", "gpus", "healthcheck", "image", "init", "labels", "links"),
        *("logging", "mem_limit", "networks", "pids_limit", "ports", "profiles", "read_only", "restart", "scale"),
        *("secrets", "security_opt", "shm_size", "stop_grace_period", "stop_signal", "tmpfs", "ulimits", "user"),
        *("volumes", "working_dir"),
    }
)
"""The keys that an import reads."""
