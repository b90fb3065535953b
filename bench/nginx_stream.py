"""nginx as a balancer of connections, by its stream module."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.programs import ProgramMissing, program, running

_CONFIGURATION = """\
load_module {module};
worker_processes auto;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 4096; }}
stream {{
  upstream servers {{ {upstream} }}
  server {{ listen {address} backlog=4096; proxy_pass servers; }}
}}
"""
_MODULE = Path("lib/nginx/modules/ngx_stream_module.so")


@contextmanager
def nginx_stream(folder: Path, address: str, servers: Sequence[str]) -> Iterator[int]:
    """Run nginx in front of servers, in the network namespace of the thread, and yield its process id.

    Addresses include the port.
    """
    folder.mkdir()
    nginx = program("nginx")
    # Unpacked or installed: beside the folder of the program.
    module = Path(nginx).parent.parent / _MODULE
    if not module.exists():
        raise ProgramMissing("libnginx-mod-stream")
    upstream = " ".join(f"server {server};" for server in servers)
    configuration = folder / "nginx.conf"
    configuration.write_text(
        _CONFIGURATION.format(module=module.resolve(), folder=folder, address=address, upstream=upstream)
    )
    with running(folder, nginx, "-c", str(configuration)) as pid:
        yield pid
