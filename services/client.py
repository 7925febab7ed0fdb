"""The REST API of the gateway for programs: what the `boardloop` command, the demo and the benchmarks use."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

import httpx

from services.common import errors
from services.common.errors import BoardloopError, Internal, Unavailable

__all__ = ["Client"]

SECONDS = 60.0
BY_STATUS = {
    getattr(errors, name).http_status: getattr(errors, name)
    for name in errors.__all__
    if name not in ("BoardloopError", "UnsupportedModel", "AlreadyExists")
}


class Client:
    """`path` is what follows /api/v1. Answers are decoded JSON; errors are those of the tree."""

    def __init__(self, url: str, token: str = "", seconds: float = SECONDS) -> None:
        """`seconds`: how long an answer may take."""
        headers = {"X-Boardloop": "1"}  # tells the gateway that no foreign web page sent this with a person's cookie
        if token:
            headers["Authorization"] = f"Bearer {token}"
        self._http = httpx.Client(base_url=f"{url}/api/v1", headers=headers, timeout=seconds)

    @classmethod
    def login(cls, url: str, name: str, password: str, token_name: str) -> Self:
        """Logs in with a password and goes on with an API token of that name."""
        with cls(url) as client:
            client.post("/account/login", {"name": name, "password": password})
            return cls(url, client.post("/account/tokens", {"name": token_name})["token"])

    @classmethod
    def change_password(cls, url: str, name: str, current: str, new: str) -> None:
        """Logs in with `current` (a one-time password, say) and chooses `new`."""
        with cls(url) as client:
            client.post("/account/login", {"name": name, "password": current})
            client.post("/account/password", {"current_password": current, "new_password": new})

    def get(self, path: str, **query: Any) -> Any:
        return self._json(self._send("GET", path, params=query))

    def post(self, path: str, body: Any = None) -> Any:
        return self._json(self._send("POST", path, json=body))

    def put(self, path: str, body: Any) -> Any:
        return self._json(self._send("PUT", path, json=body))

    def download(self, path: str) -> bytes:
        """The body as it is: a picture, a model file, a manifest."""
        return self._send("GET", path).content

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _send(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        try:
            answer = self._http.request(method, path, **arguments)
        except httpx.HTTPError as error:
            raise Unavailable(
                "GATEWAY_UNREACHABLE", f"{self._http.base_url} does not answer: {error}.", fix="Is Boardloop up?"
            ) from error
        if answer.is_error:
            raise _rebuilt(answer)
        return answer

    @staticmethod
    def _json(answer: httpx.Response) -> Any:
        return answer.json() if answer.content else None


def _rebuilt(answer: httpx.Response) -> BoardloopError:
    try:
        shape = answer.json()["error"]
    except (ValueError, KeyError, TypeError):
        return Internal(
            "NOT_BOARDLOOP", f"HTTP {answer.status_code} from {answer.url}, not in Boardloop's error shape."
        )
    kind = BY_STATUS.get(answer.status_code, Internal)
    return kind(shape["reason"], shape["message"], fix=shape["fix"])  # type: ignore[no-any-return]
