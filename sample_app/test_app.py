"""The application's own tests: they run in its image before it is deployed."""

from __future__ import annotations

import http.client
import threading
import unittest

from app import VERSION, Server


class AppTest(unittest.TestCase):
    """A real server on a free port, asked over one connection."""

    def setUp(self) -> None:
        self.server = Server(0)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        self.client = http.client.HTTPConnection("127.0.0.1", self.server.server_address[1], timeout=5)

    def tearDown(self) -> None:
        self.client.close()
        self.server.shutdown()
        self.server.server_close()

    def ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        self.client.request(method, path, body)
        response = self.client.getresponse()
        return response.status, response.read()

    def test_says_its_version(self) -> None:
        status, body = self.ask("GET", "/")
        self.assertEqual(status, 200)
        self.assertIn(f"sample-app {VERSION}".encode(), body)

    def test_echoes(self) -> None:
        self.assertEqual(self.ask("POST", "/echo", b"hello"), (200, b"hello"))

    def test_keeps_the_connection(self) -> None:
        self.assertEqual([self.ask("GET", "/healthz")[0] for _ in range(3)].count(500), 3 if "broken" in VERSION else 0)

    def test_unknown_path(self) -> None:
        self.assertEqual(self.ask("GET", "/nothing")[0], 404)

    def test_fails_when_told(self) -> None:
        self.assertEqual(self.ask("GET", "/fail")[0], 500)


if __name__ == "__main__":
    unittest.main()
