import asyncio
import os
from pathlib import Path

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
django = get_asgi_application()

# on_drain of pipeline.yaml creates this file when another container serves new connections.
DRAINING = Path("/tmp/draining")


async def application(scope, receive, send):
    """Django for HTTP, and an echo for WebSockets at /ws."""
    await (echo if scope["type"] == "websocket" else django)(scope, receive, send)


async def echo(scope, receive, send):
    """Send each message back until the client leaves, or this container drains."""
    await receive()
    await send({"type": "websocket.accept"})
    message = asyncio.ensure_future(receive())
    while not DRAINING.exists():
        done, _ = await asyncio.wait([message], timeout=1)
        if done and message.result()["type"] == "websocket.disconnect":
            return
        if done:
            await send({"type": "websocket.send", "text": message.result().get("text") or ""})
            message = asyncio.ensure_future(receive())
    message.cancel()
    await send({"type": "websocket.close", "code": 1012, "reason": "connect again"})
