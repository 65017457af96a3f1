"""The one user of the broker, in a file that its owner alone may read."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from penstock.embedded.secret import write_secret
from penstock.errors import StackError

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Login:
    """A user and a password. Neither holds a line break."""

    username: str
    password: str = field(repr=False)

    def admits(self, response: bytes) -> bool:
        """Whether the response of a client, as SASL's PLAIN has it, is this login (RFC 4616)."""
        expected = b"\0".join((b"", self.username.encode(), self.password.encode()))
        return hmac.compare_digest(response, expected)


def write_login(path: Path, login: Login) -> None:
    """Write the file that the broker reads when it starts. Raises StackError."""
    try:
        write_secret(path, f"{login.username}\n{login.password}\n")
    except OSError as error:
        raise StackError(f"{path} cannot be written: {error.strerror}") from error


def read_login(path: Path) -> Login:
    """The login of the broker. Raises StackError."""
    try:
        username, password = path.read_text().splitlines()
    except (OSError, ValueError) as error:
        raise StackError(f"{path} does not hold a user and a password, one a line: {error}") from error
    return Login(username, password)
