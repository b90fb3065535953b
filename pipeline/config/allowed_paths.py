"""Whether the entries of a policy allow a path of this machine, or a URL."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit


def covers(allowed: str, source: str) -> bool:
    """Return whether an entry of `volumes` allows a source: this name, or a path below it, also after its links."""
    if not source.startswith("/"):
        return allowed == source
    if ".." in PurePosixPath(source).parts or not is_below(source, allowed):
        return False
    target, base = resolved(source), resolved(allowed)
    return target is not None and base is not None and target.is_relative_to(base)


def resolved(path: str) -> Path | None:
    """Return where a path leads. None if its links make a loop, or if Docker may see links that this user does not."""
    try:
        return Path(path).resolve(strict=True)
    except FileNotFoundError:
        target = Path(path).resolve()
        # A missing folder in the text of a link may have hidden links behind it.
        return target if str(target) == path else resolved(str(target))
    except (OSError, RuntimeError):
        return None


def is_below(source: str, allowed: str) -> bool:
    """Return whether a path is written as one below an entry of `volumes`."""
    return source.startswith("/") and allowed.startswith("/") and PurePosixPath(source).is_relative_to(allowed)


def is_url_below(url: str, allowed: str) -> bool:
    """Return whether a URL is an entry of `hook_urls`, or has the same scheme, host and port and a path below it."""
    wanted, base = urlsplit(url), urlsplit(allowed)
    if (wanted.scheme, wanted.netloc) != (base.scheme, base.netloc):
        return False
    parts = unquote(wanted.path).replace("\\", "/").split("/")
    folder = f"{base.path.rstrip('/')}/"
    return not {".", ".."} & set(parts) and f"{wanted.path}/".startswith(folder)
