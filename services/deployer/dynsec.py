"""Accounts in mosquitto: the same logins and rights as in the embedded broker, kept by the dynamic-security plugin.

    $CONTROL/dynamic-security/v1            {"commands": [{"command": "createClient", …, "correlationData": "7"}]}
    $CONTROL/dynamic-security/v1/response   {"responses": [{"command": "createClient", "correlationData": "7"}]}

mosquitto 2.0 does not expand %u in the plugin's roles, so each board has a role of its own. It gives no passwords back;
a hash of each is kept in the client's description, so that a second sync changes nothing and cuts nobody off.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterable
from typing import Any

from services.common import topics
from services.common.errors import FailedPrecondition, Unavailable
from services.common.frames import Kind
from services.common.logs import logger
from services.common.mqtt import MqttBus, MqttMessage
from services.deployer.accounts import BOARD_USER, Account, Accounts

__all__ = ["Dynsec"]

log = logger(__name__)

CONTROL = "$CONTROL/dynamic-security/v1"
RESPONSE = f"{CONTROL}/response"
ANSWER_SECONDS = 10.0
BATCH = 40  # commands a message: stays well below the broker's message_size_limit
PAGE = 200
SERVICES = ("collector", "deployer")  # who logs in at the broker
SERVICE_ROLE = "boardloop-service"
ACL_TYPES = ("publishClientSend", "publishClientReceive", "subscribe", "unsubscribe")

Command = dict[str, Any]


class Dynsec:
    """AccountKeeper of a mosquitto. Its own connection, as the plugin's admin."""

    def __init__(self, url: str, username: str, password: str, accounts: Accounts) -> None:
        self._bus = MqttBus(url, username, password, client_id="boardloop-accounts")
        self._accounts = accounts
        self._lock = threading.Lock()  # one exchange at a time
        self._answered = threading.Condition()
        self._expected: set[str] = set()
        self._responses: list[Command] = []
        self._number = 0
        self._bus.subscribe(RESPONSE, self._receive)

    def start(self) -> None:
        """Connects and brings the broker in line. Unavailable: away, admin refused, or without the plugin."""
        self._bus.start()
        self._bus.wait_connected(ANSWER_SECONDS)
        self.sync()

    def stop(self) -> None:
        self._bus.stop()

    def sync(self) -> int:
        """Compares everything and sends what differs; the number of commands sent."""
        with self._lock:
            have = {one["username"]: one for one in self._list("listClients", "clients")}
            roles = {one["rolename"] for one in self._list("listRoles", "roles")}
            boards = self._accounts.all_boards()
            commands = self._basics(roles)
            for service in SERVICES:
                commands += _account(self._accounts.of_service(service), SERVICE_ROLE, have)
            for board_id in boards:
                commands += self._board(board_id, have, roles)
            known = set(boards)
            for username in have:
                match = BOARD_USER.fullmatch(username)
                if match and match[1] not in known:
                    commands.append({"command": "deleteClient", "username": username})
            self._send(commands)
        log.info("broker_accounts_synced", commands=len(commands), boards=len(boards))
        return len(commands)

    def update(self, board_id: str) -> None:
        """Brings one board's logins and rights in line; who loses a login is cut off at once."""
        with self._lock:
            ask: list[Command] = [{"command": "getClient", "username": name} for name in (board_id, f"{board_id}.pair")]
            ask.append({"command": "getRole", "rolename": role_of(board_id)})
            *clients, role = self._send(ask, tolerate=True)
            have = {one["data"]["client"]["username"]: one["data"]["client"] for one in clients if "data" in one}
            self._send(self._board(board_id, have, {role_of(board_id)} if "data" in role else set()))

    def kick(self, username: str) -> None:
        """Nothing: deleting an account or changing its password cuts it off."""

    def _basics(self, roles: set[str]) -> list[Command]:
        commands: list[Command] = []
        access = self._send([{"command": "getDefaultACLAccess"}])[0]["data"]["acls"]
        if any(acl["allow"] for acl in access):
            denied = [{"acltype": kind, "allow": False} for kind in ACL_TYPES]
            commands.append({"command": "setDefaultACLAccess", "acls": denied})
        if SERVICE_ROLE not in roles:
            kinds = ("publishClientSend", "publishClientReceive", "subscribePattern", "unsubscribePattern")
            acls = [{"acltype": kind, "topic": "#", "allow": True} for kind in kinds]
            commands.append({"command": "createRole", "rolename": SERVICE_ROLE, "acls": acls})
        return commands

    def _board(self, board_id: str, have: dict[str, Command], roles: set[str]) -> list[Command]:
        commands: list[Command] = []
        wanted = self._accounts.of_board(board_id)
        role = role_of(board_id)
        if wanted and role not in roles:
            commands.append({"command": "createRole", "rolename": role, "acls": _rights(board_id)})
        for account in wanted:
            commands += _account(account, role, have)
        names = {account.username for account in wanted}
        for username in (board_id, f"{board_id}.pair"):
            if username in have and username not in names:
                commands.append({"command": "deleteClient", "username": username})
        if not wanted and role in roles:
            commands.append({"command": "deleteRole", "rolename": role})
        return commands

    def _list(self, command: str, field: str) -> list[Command]:
        found: list[Command] = []
        while True:
            query = {"command": command, "verbose": True, "count": PAGE, "offset": len(found)}
            page = self._send([query])[0]["data"]
            found += page[field]
            if not page[field] or len(found) >= page["totalCount"]:
                return found

    def _send(self, commands: list[Command], *, tolerate: bool = False) -> list[Command]:
        """The answers in order. FailedPrecondition (DYNSEC_REFUSED) unless errors are tolerated."""
        answers: list[Command] = []
        for start in range(0, len(commands), BATCH):
            answers += self._exchange(commands[start : start + BATCH])
        for command, answer in zip(commands, answers, strict=True):
            if "error" in answer and not tolerate:
                name = command.get("username") or command.get("rolename") or ""
                message = f"mosquitto refused {command['command']} {name}: {answer['error']}"
                fix = "Look into its dynamic-security file; the deployer must be its only writer."
                raise FailedPrecondition("DYNSEC_REFUSED", message, fix=fix)
        return answers

    def _exchange(self, commands: list[Command]) -> list[Command]:
        numbers = [str(self._number + 1 + i) for i in range(len(commands))]
        self._number += len(commands)
        numbered = [{**one, "correlationData": number} for one, number in zip(commands, numbers, strict=True)]
        with self._answered:
            self._expected, self._responses = set(numbers), []
            # QoS 0: the response is the proof; a PUBACK before it would only meet Nagle's algorithm (40 ms each)
            self._bus.publish(CONTROL, json.dumps({"commands": numbered}).encode())
            if not self._answered.wait_for(lambda: not self._expected, ANSWER_SECONDS):
                message = f"mosquitto did not answer {commands[0]['command']} in {ANSWER_SECONDS:.0f} s."
                fix = "Load mosquitto_dynamic_security.so, and let BOARDLOOP_DYNSEC_USERNAME be its admin."
                raise Unavailable("DYNSEC_SILENT", message, fix=fix)
            return sorted(self._responses, key=lambda one: int(one["correlationData"]))

    def _receive(self, message: MqttMessage) -> None:
        with self._answered:
            for response in json.loads(message.payload)["responses"]:
                if response.get("correlationData") in self._expected:
                    self._expected.discard(response["correlationData"])
                    self._responses.append(response)
            self._answered.notify_all()


def role_of(board_id: str) -> str:
    return f"board.{board_id}"


def _rights(board_id: str) -> list[Command]:
    """docs/protocol.md section 2; everything else is denied by default."""
    down = f"bl/{board_id}/down/#"
    sent = [topics.up(board_id, kind) for kind in Kind if kind.uplink]  # not up/#: mosquitto would keep what it likes
    pairs: Iterable[tuple[str, str]] = (
        *(("publishClientSend", topic) for topic in (*sent, topics.state(board_id))),
        ("subscribePattern", down),
        ("unsubscribePattern", down),
        ("publishClientReceive", down),
    )
    return [{"acltype": kind, "topic": topic, "allow": True} for kind, topic in pairs]


def _account(account: Account, role: str, have: dict[str, Command]) -> list[Command]:
    """Nothing when the broker has this account with this password."""
    mark = f"boardloop {hashlib.sha256(account.password.encode()).hexdigest()[:32]}"
    present = have.get(account.username)
    if present is not None and present.get("textdescription") == mark:
        return []
    command: Command = {
        "command": "createClient" if present is None else "modifyClient",
        "username": account.username,
        "password": account.password,
        "textdescription": mark,
        "roles": [{"rolename": role}],
    }
    if account.client_id:
        command["clientid"] = account.client_id
    return [command]
