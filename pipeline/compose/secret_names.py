"""Names and values that look like those of secrets."""

from __future__ import annotations

import re

_NAME = re.compile(
    r"(?:^|[_.-])(?:\w*PASSWORD|PASSWD|PASS|PWD|PASSPHRASE|SECRET|TOKEN|\w*SECRET_?KEY|API_?KEY|\w*KEY|SALT|PEPPER|"
    r"CREDENTIALS?|KEY_BASE|SECRETS?|DSN)$",
    re.IGNORECASE,
)
_ADDRESS = re.compile(
    r"(?:^|_)(?:DATABASE|DB|POSTGRES|PG|MYSQL|MONGO|MONGODB|REDIS|AMQP|RABBITMQ|BROKER|CELERY_BROKER)_(?:URL|URI)$|"
    r"CONNECTION_STRING$|(?:^|_)DATABASE_URL",
    re.IGNORECASE,
)
_PUBLIC = re.compile(
    r"PUBLIC|PUBLISHABLE|_FILE$|(?:^|_)(?:ALLOW|RANDOM|EMPTY|FOREIGN|PRIMARY|SORT|CACHE)_", re.IGNORECASE
)
_SWITCH = re.compile(r"true|false|yes|no|on|off|none|null|\d{1,3}|/.*", re.IGNORECASE)
_URL_WITH_PASSWORD = re.compile(r"://[^/@\s:]*:[^/@\s]+@")


def is_secret_name(name: str) -> bool:
    """Return whether a variable's name says that its value is a secret."""
    return bool(_NAME.search(name)) and not _PUBLIC.search(name)


def is_secret(name: str, value: str) -> bool:
    """Return whether a value must not be in a file that others read."""
    if _URL_WITH_PASSWORD.search(value):
        return True
    return is_secret_name(name) and value != "" and not _SWITCH.fullmatch(value)


def may_be_secret(name: str) -> bool:
    """Return whether a variable without a known value is likely to be a secret, such as an address with a password."""
    return is_secret_name(name) or bool(_ADDRESS.search(name))


def variable_name(text: str) -> str:
    """Return the name of a secret for any text: letters, digits and underscores."""
    name = re.sub(r"[^A-Za-z0-9]+", "_", text).strip("_").upper()
    return name if re.match("[A-Z]", name) else f"S_{name}"
