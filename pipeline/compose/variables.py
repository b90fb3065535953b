"""What becomes of the variables of a Compose file: references of pipeline.yaml, or the values that they have."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.compose.interpolation import Parts, Variable, parse_text
from pipeline.compose.places import Place
from pipeline.compose.report import Report
from pipeline.compose.secret_names import is_secret, is_secret_name, may_be_secret, variable_name


def escaped(text: str) -> str:
    """Return a literal text for pipeline.yaml, in which `${` begins a reference."""
    return text.replace("${", "$${")


class Variables:
    """The variables of a Compose file and of the `.env` beside it. The shell's own are not read.

    `secrets` are those that the pipeline uses, each with its value if a file has it. Such a value never becomes part of
    pipeline.yaml.
    """

    def __init__(self, dotenv: Mapping[str, str], report: Report) -> None:
        self._dotenv = dotenv
        self._report = report
        self.secrets: dict[str, str | None] = {}
        self._unset: dict[str, None] = {}
        self._resolved_unset: dict[str, None] = {}

    @property
    def unset(self) -> tuple[str, ...]:
        """The names of variables that are empty in the pipeline.yaml, because no file has a value."""
        # A command is resolved to be looked at. If a variable of it is a secret, what is written has the secret.
        looked_at = (name for name in self._resolved_unset if name not in self.secrets)
        return tuple(dict.fromkeys((*self._unset, *looked_at)))

    def resolve(self, text: str, place: Place, path: str) -> str:
        """Return a text with the values that its variables have without the shell. A missing one is empty."""
        return self._resolved(self._parts(text, place, path))

    def refer(self, text: str, place: Place, path: str, *, secrets: bool = False) -> str:
        """Return a text for pipeline.yaml, with references instead of variables.

        A variable that looks like a secret becomes `${secret:NAME}` if the place allows it.
        """
        return "".join(
            escaped(part) if isinstance(part, str) else self._reference(part, secrets)
            for part in self._parts(text, place, path)
        )

    def names(self, text: str, place: Place, path: str) -> set[str]:
        """Return the names of the variables in a text that are secrets."""
        parts = self._parts(text, place, path)
        return {part.name for part in parts if isinstance(part, Variable) and self._is_secret(part)}

    def add_secret(self, name: str, value: str | None, owner: str) -> str:
        """Keep a secret and return the reference. Another value under the same name gets the owner's name as well."""
        key = variable_name(name) if not name.isidentifier() or not name.isascii() else name
        if value is not None and self.secrets.get(key) not in (None, value):
            key = f"{variable_name(owner)}_{key}"
        self.secrets[key] = self.secrets.get(key) if value is None else value
        return f"${{secret:{key}}}"

    def inherited(self, name: str, owner: str) -> str | None:
        """Return the value of an environment's variable without one. None: that of the command or the daemon."""
        value = self._dotenv.get(name)
        if is_secret(name, value or "") or (may_be_secret if value is None else is_secret_name)(name):
            return self.add_secret(name, value, owner)
        return None if value is None else self._environment(name, value)

    def _parts(self, text: str, place: Place, path: str) -> Parts:
        try:
            return parse_text(text)
        except ValueError as error:
            self._report.mistake(place, path, str(error))
            return ()

    def _resolved(self, parts: Parts) -> str:
        return "".join(part if isinstance(part, str) else self._value(part) for part in parts)

    def _value(self, variable: Variable) -> str:
        found = self._known(variable)
        if found is None:
            self._resolved_unset[variable.name] = None
        return found or ""

    def _known(self, variable: Variable) -> str | None:
        """Return the value of a variable, None if no file has one."""
        value = self._dotenv.get(variable.name)
        if variable.operator == "+":
            return self._resolved(variable.word) if value else ""
        if variable.operator == "-" and not value:
            return self._resolved(variable.word)
        return value

    def _is_secret(self, variable: Variable) -> bool:
        if variable.operator == "+":
            return False
        value = self._known(variable)
        return (may_be_secret if value is None else is_secret_name)(variable.name) or is_secret(
            variable.name, value or ""
        )

    def _reference(self, variable: Variable, secrets: bool) -> str:
        value = self._known(variable)
        if variable.operator == "+":
            return escaped(value or "")
        # A value that must be given is asked for before the deployment, as the values of secrets are.
        if secrets and (self._is_secret(variable) or (value is None and variable.operator == "?")):
            return self.add_secret(variable.name, value, "")
        if value is None:
            self._unset[variable.name] = None
        elif self._is_secret(variable):
            value = ""
        return self._environment(variable.name, value or "")

    def _environment(self, name: str, value: str) -> str:
        if "}" in value or "\n" in value:
            return escaped(value)
        return f"${{env:{name}:-{value}}}"
