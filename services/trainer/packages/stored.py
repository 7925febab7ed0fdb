"""What the registry knows of a converted file, as the content of a package."""

from __future__ import annotations

from services.common.errors import InvalidInput
from services.trainer.packages.content import FLASH_ADDRESS, PackageContent
from services.trainer.registry import Registry

__all__ = ["stored_content"]


def stored_content(registry: Registry, model_id: str, target: str, flash_address: int = 0) -> PackageContent:
    """`flash_address` 0: the default.

    NotFound without such a model or file, InvalidInput for the float checkpoint, which no chip loads.
    """
    from services.trainer.graph import InputSpec
    from services.trainer.model import INPUT_MEAN, INPUT_STD  # needs torch; virtual boards import this package too

    if not target:
        raise InvalidInput(
            "PACKAGE_OF_CHECKPOINT",
            "The float checkpoint comes as it is, in no package.",
            fix="Name the target of a converted file.",
        )
    model, file = registry.get(model_id), registry.file(model_id, target)
    return PackageContent(
        model_id=model.id,
        name=model.name,
        target=target,
        data=registry.read(model_id, target),
        labels=tuple(model.labels),
        input=InputSpec(3, model.input_height, model.input_size, (INPUT_MEAN,) * 3, (INPUT_STD,) * 3),
        anchors=tuple((w, h) for w, h in model.anchors),
        report=file.report,
        fidelity=file.fidelity,
        flash_address=flash_address or FLASH_ADDRESS,
    )
