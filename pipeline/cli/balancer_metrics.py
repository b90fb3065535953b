"""`pipeline balancer metrics`: CloudWatch's metrics for Prometheus."""

from __future__ import annotations

import signal
import socket
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import click

from pipeline.base.errors import BalancerFault, ConfigError
from pipeline.base.home import Home
from pipeline.base.whole_number import whole_number

if TYPE_CHECKING:
    from pipeline.balancer.telemetry.metrics import Metrics


@click.command("metrics", short_help="Print CloudWatch's metrics for Prometheus.")
@click.option(
    "--listen", "place", metavar="[ADDRESS:]PORT", help="Serve the metrics at /metrics on this address, until Ctrl-C."
)
def command(place: str | None) -> None:
    """Print the load balancer's metrics in Prometheus' format. The help of each starts with CloudWatch's name.

    --listen without an address listens on 127.0.0.1 only.
    """
    from pipeline.balancer.planes import open_balancer
    from pipeline.balancer.telemetry.metrics import Metrics

    metrics = Metrics(open_balancer(Home.locate().balancer))
    if place is None:
        click.echo(metrics.text(), nl=False)
    else:
        _serve(metrics, *_address(place))


def _address(place: str) -> tuple[str, int]:
    """Return the address and the port in `--listen`."""
    address, _, port = place.rpartition(":")
    number = whole_number(port, 65535)
    if number is None:
        raise ConfigError(f"--listen {place}: must be a port or an address: 9101, 127.0.0.1:9101 or [::1]:9101")
    return address.strip("[]") or "127.0.0.1", number


def _serve(metrics: Metrics, address: str, port: int) -> None:
    """Serve until Ctrl-C or SIGTERM."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt), _server(metrics, address, port) as server:
        metrics.text()  # Read the whole log now, so that the first scrape does not wait for it.
        name = f"[{address}]" if ":" in address else address
        click.echo(f"metrics at http://{name}:{server.server_port}/metrics", err=True)
        server.serve_forever()


def _server(metrics: Metrics, address: str, port: int) -> ThreadingHTTPServer:
    class Handler(_Handler):
        source = metrics

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        address_family = socket.AF_INET6 if ":" in address else socket.AF_INET

    try:
        return Server((address, port), Handler)
    except OSError as error:
        raise ConfigError(f"--listen {address}:{port}: {error.strerror}") from error


class _Handler(BaseHTTPRequestHandler):
    source: Metrics
    # A silent client must not keep a thread.
    timeout = 10

    def do_GET(self) -> None:
        if self.path.partition("?")[0] != "/metrics":
            self._respond(404, "text/plain", "the metrics are at /metrics\n")
            return
        from pipeline.balancer.telemetry.metrics import CONTENT_TYPE

        try:
            self._respond(200, CONTENT_TYPE, self.source.text())
        except BalancerFault as fault:
            self._respond(503, "text/plain", f"{fault}\n")

    def _respond(self, status: int, content_type: str, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with suppress(OSError):  # The client may have disconnected.
            self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Log nothing: scrapes are frequent and of no interest."""
