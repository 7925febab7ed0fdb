"""Who may log in at the broker: one list, asked by the embedded broker and copied into mosquitto by dynsec.py.

<board id>.pair    the code's secret P, while the code is valid or being used up
<board id>         the board's own secret S
service.<name>     derived from the service key
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from pydantic import SecretStr

from services.common.errors import BoardloopError
from services.common.keys import BoardKeys, service_password
from services.common.logs import logger
from services.deployer.boards import Boards, Keyring, Role

__all__ = ["Account", "AccountKeeper", "Accounts", "OwnBroker"]

log = logger(__name__)

BOARD_USER = re.compile(r"([a-z2-7]{10})(\.pair)?")
SERVICE_USER = re.compile(r"service\.([a-z][a-z0-9-]{0,31})")
NOBODY = BoardKeys.derive(bytes(16)).mqtt_password  # compared with when there is nobody, so that both cases look alike


@dataclass(frozen=True)
class Account:
    """A login. `client_id`: the only one allowed with it; "" = any."""

    username: str
    password: str = field(repr=False)
    client_id: str


class AccountKeeper(Protocol):
    """A broker's side of the accounts."""

    def update(self, board_id: str) -> None:
        """Brings the broker in line with the board's accounts; Unavailable when the broker does not answer."""

    def kick(self, username: str) -> None:
        """Ends the user's connections at once."""


class Accounts:
    """Thread-safe."""

    def __init__(self, boards: Boards, service_key: SecretStr) -> None:
        self._boards = boards
        self._service_key = service_key

    def authenticate(self, username: str, password: str) -> bool:
        """In constant time for a given user name's form; False also when the database is away."""
        try:
            passwords = self._passwords(username)
        except BoardloopError as error:
            log.warning("login_not_checked", user=username, detail=str(error))
            passwords = []
        given = password.encode()
        right = False
        for known in passwords or [NOBODY]:
            right |= hmac.compare_digest(given, known.encode())
        if not (right and passwords):
            log.warning("login_refused", user=username[:64], board=username.partition(".")[0][:10])
        return right and bool(passwords)

    def of_board(self, board_id: str) -> list[Account]:
        """What a broker with one password per user must know: of renewed secrets the newest counts."""
        keyring = self._boards.keyring(board_id)
        if keyring is None:
            return []
        accounts = []
        own = _of_roles(keyring, self._boards, Role.RENEWED) or _of_roles(keyring, self._boards, Role.PAIRED)
        if own:
            accounts.append(Account(board_id, own[0], board_id))
        code = _of_roles(keyring, self._boards, Role.PAIRING)
        if code:
            accounts.append(Account(f"{board_id}.pair", code[0], f"{board_id}.pair"))
        return accounts

    def of_service(self, service: str) -> Account:
        return Account(f"service.{service}", service_password(self._service_key, service), "")

    def all_boards(self) -> list[str]:
        return self._boards.ids()

    def _passwords(self, username: str) -> list[str]:
        service = SERVICE_USER.fullmatch(username)
        if service:
            return [service_password(self._service_key, service[1])]
        board = BOARD_USER.fullmatch(username)
        keyring = self._boards.keyring(board[1]) if board else None
        if board is None or keyring is None:
            return []
        roles = (Role.PAIRING,) if board[2] else (Role.PAIRED, Role.RENEWED)
        return _of_roles(keyring, self._boards, *roles)


def _of_roles(keyring: Keyring, boards: Boards, *roles: Role) -> list[str]:
    return [key.keys.mqtt_password for key in keyring.usable(boards.clock()) if key.role in roles]


class OwnBroker:
    """AccountKeeper of the embedded broker, which asks `Accounts.authenticate` at each login: only kicks are left."""

    def __init__(self, disconnect: Callable[[str], None]) -> None:
        self._disconnect = disconnect

    def update(self, board_id: str) -> None:
        """Nothing: the broker asks."""

    def kick(self, username: str) -> None:
        self._disconnect(username)
