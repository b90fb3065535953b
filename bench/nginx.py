"""nginx: the servers behind the proxies, and nginx as a compared proxy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.programs import await_answer, program, running
from bench.proxy import Proxy
from pipeline.base.sockets import free_port

_MAIN = """\
worker_processes {workers};
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  keepalive_requests 1000000;
  {body}
}}
"""
# As nginx's documentation recommends for upstreams with kept connections.
_PROXY = """\
{log}
  upstream web {{ {upstream} keepalive 64; keepalive_requests 1000000; }}
  server {{
    listen 127.0.0.1:{port}{tls};
    location / {{
      proxy_pass http://web; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Host $host; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      {headers}
    }}
  }}"""
_PLAIN_LOG = "access_log {folder}/access.log combined;"
# The fields of Penstock's access log that nginx knows.
_SAME_LOG = (
    r"log_format same '$time_iso8601\t$msec\t$request_time\t$upstream_connect_time\t$upstream_header_time\t"
    r"$upstream_response_time\t$remote_addr:$remote_port\t$upstream_addr\t$status\t$upstream_status\t$request_length\t"
    r"$bytes_sent\t$request_method\t$request_uri\t$server_protocol\t$http_host\t$http_user_agent\t$http_upgrade\t"
    r"$content_type\t$ssl_cipher\t$ssl_protocol\t$ssl_server_name\t$request_id\t$sent_http_location';"
    "\n  access_log {folder}/access.log same;"
)
_SAME_HEADERS = (
    "proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Forwarded-Port $server_port; "
    "proxy_set_header X-Amzn-Trace-Id Root=1-$request_id;"
)


@contextmanager
def server(directory: Path, number: int) -> Iterator[int]:
    """Run a server behind the proxies, an nginx with a small response, and yield its port."""
    folder, port = directory / f"server{number}", free_port()
    folder.mkdir()
    body = f'access_log off; server {{ listen 127.0.0.1:{port}; location / {{ return 200 "hello, world"; }} }}'
    with _nginx(folder, 1, body):
        await_answer(port, "a server")
        yield port


@contextmanager
def file_server(folder: Path, ports: Sequence[int], size: int = 0) -> Iterator[int]:
    """Run a server at these ports of every address of the thread's network namespace, and yield its process id.

    `/` is a small response, and `/large` has `size` bytes.
    """
    folder.mkdir()
    with (folder / "large").open("wb") as large:
        large.truncate(size)
    listen = " ".join(f"listen {port} backlog=4096;" for port in ports)
    body = (
        f"access_log off; sendfile on; server {{ {listen} root {folder}; "
        'location = / { return 200 "hello, world"; } }'
    )
    with _nginx(folder, "auto", body) as pid:
        await_answer(ports[0], "a server")
        yield pid


@contextmanager
def nginx(
    folder: Path, servers: Sequence[int], certificate: Path | None = None, *, same: bool = False
) -> Iterator[Proxy]:
    """Run nginx as a reverse proxy, over TLS 1.2 and 1.3 if given a file with a certificate and its key.

    With `same` it sets the headers and writes the log that Penstock does.
    """
    folder.mkdir()
    port, scheme = free_port(), "https" if certificate else "http"
    protocols = "ssl_protocols TLSv1.2 TLSv1.3;"
    tls = f" ssl; {protocols} ssl_certificate {certificate}; ssl_certificate_key {certificate}" if certificate else ""
    body = _PROXY.format(
        log=(_SAME_LOG if same else _PLAIN_LOG).replace("{folder}", str(folder)),
        upstream=" ".join(f"server 127.0.0.1:{server};" for server in servers),
        port=port,
        tls=tls,
        headers=_SAME_HEADERS if same else "",
    )
    lacks = "active health checks, desync checks"
    more = "" if same else "trace id, X-Forwarded-Proto and -Port, a detailed log, "
    with _nginx(folder, "auto", body) as pid:
        await_answer(port, "nginx", scheme)
        name = "nginx, same headers and log" if same else "nginx"
        yield Proxy(name, port, pid, scheme, more + lacks)


@contextmanager
def _nginx(folder: Path, workers: int | str, body: str) -> Iterator[int]:
    configuration = folder / "nginx.conf"
    configuration.write_text(_MAIN.format(workers=workers, folder=folder, body=body))
    with running(folder, program("nginx"), "-c", str(configuration)) as pid:
        yield pid
