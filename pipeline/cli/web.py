"""`pipeline web`: who may use the web interface."""

from __future__ import annotations

import json

import click

from pipeline.base.clock import SYSTEM
from pipeline.base.errors import ConfigError
from pipeline.base.home import Home
from pipeline.cli.output import date, table
from pipeline.cli.session import json_option


@click.group("web")
def command() -> None:
    """Give access to the web interface of `pipeline serve --web`, and take it back."""


@command.command("login")
@click.option(
    "--role",
    type=click.Choice(("look", "operate")),
    default="look",
    show_default=True,
    help="What the user may do. `operate` includes all buttons.",
)
@click.option("--name", metavar="USER", help="Name of the user in events. Default: the user of this command.")
@json_option
def login(role: str, name: str | None, as_json: bool) -> None:
    """Print a link that logs a browser in once, within ten minutes."""
    import getpass

    from pipeline.http.responses.web_session import WebLoginResponse
    from pipeline.store.store import Store
    from pipeline.store.web_sessions import Role
    from pipeline.web.sessions import LOGIN_LIFETIME, is_user_name, new_login

    user = getpass.getuser() if name is None else name
    if not is_user_name(user):
        raise ConfigError("--name: must have 1 to 64 printable characters, and no space at an end")
    home, now = Home.locate(), SYSTEM.now().wall
    base = _base_url(home)
    with Store(home.database) as store:
        url = f"{base}/login?link={new_login(store, user, Role(role), now)}"
    found = WebLoginResponse(url=url, user=user, role=role, expires_at=now + LOGIN_LIFETIME)
    click.echo(json.dumps(found.as_data()) if as_json else url)


@command.command("sessions")
@json_option
def sessions(as_json: bool) -> None:
    """List the users that are logged in."""
    from pipeline.http.responses.web_session import WebSessionResponse
    from pipeline.store.store import Store
    from pipeline.web.sessions import is_valid

    now = SYSTEM.now().wall
    with Store(Home.locate().database) as store:
        found = [session for session in store.web_sessions.all() if is_valid(session, now)]
    if as_json:
        click.echo(json.dumps([WebSessionResponse.model_validate(each).as_data() for each in found]))
        return
    table([(each.user, each.role, date(each.created_at), date(each.used_at)) for each in found], *_COLUMNS)


@command.command("logout")
@click.argument("user", required=False)
def logout(user: str | None) -> None:
    """End the sessions of USER, or of all users, and make their unused links invalid."""
    from pipeline.store.store import Store

    with Store(Home.locate().database) as store:
        count = store.web_sessions.end_all(user)
    click.echo(f"ended {count} session{'' if count == 1 else 's'}")
    if user is not None and not count:
        click.echo(f"{user} is not logged in; `pipeline web sessions` lists the users", err=True)


_COLUMNS = ("user", "role", "since", "last used")


def _base_url(home: Home) -> str:
    try:
        return home.web_url.read_text().strip()
    except FileNotFoundError:
        raise ConfigError(
            f"no daemon of {home.root} serves the web interface", hint="pipeline serve --web 127.0.0.1:9001"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {home.web_url}: {error}") from error
