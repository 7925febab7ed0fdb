"""A conversion by a running Boardloop: it has the checkpoint and the pictures."""

from __future__ import annotations

import json
from dataclasses import asdict

from services.client import Client
from services.common.errors import NotFound
from services.common.fidelity import Fidelity
from services.trainer.choices import Choices
from services.trainer.convert import TARGETS
from services.trainer.convert.common import file_stem
from services.trainer.convert_command.outcome import Outcome, data_address

__all__ = ["convert_there"]

CONVERT_SECONDS = 900.0


def convert_there(url: str, token: str, model_id: str, target: str, choices: Choices, package: str) -> Outcome:
    """Asks the server at `url` to convert, and fetches what it made. Raises the errors of the server."""
    with Client(url, token, CONVERT_SECONDS) as client:
        name = client.get(f"/models/{model_id}")["name"]
        file = client.post(f"/models/{model_id}/convert", {"target": target, **asdict(choices)})
        fidelity = Fidelity.from_json(client.get(f"/models/{model_id}/files/{target}/fidelity"))
        data = client.download(f"/models/{model_id}/files/{target}")
        files = TARGETS[target].unpack(data, file_stem(name), TARGETS[target].suffix)
        if package:
            path = f"/models/{model_id}/files/{target}/packages/{package}"
            files[f"{file_stem(name)}-{package}{'.kfpkg' if package == 'kfpkg' else '.zip'}"] = client.download(path)
        pictures = {change.capture_id: _thumbnail(client, change.capture_id) for change in fidelity.changed}
    return Outcome(name, target, json.loads(file["report_json"]), fidelity, pictures.__getitem__, files)


def _thumbnail(client: Client, capture_id: str) -> str:
    """ "" when the picture was deleted meanwhile."""
    try:
        return data_address(client.download(f"/captures/{capture_id}/thumbnail?size=192"), capture_id)
    except NotFound:
        return ""
