"""How protobuf messages become JSON: base model, timestamps, enum words, lists."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Any, Self, TypeVar

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

__all__ = ["Id", "LabelName", "Many", "Public", "Responses", "Time", "absent_as_null", "enum_words"]

Item = TypeVar("Item")


class Public(BaseModel):
    """What the API answers: read from a protobuf message field by field, by equal names."""

    model_config = ConfigDict(from_attributes=True)

    @classmethod
    def of(cls, message: Message) -> Self:
        """The model of one message."""
        return cls.model_validate(message)

    @classmethod
    def all_of(cls, messages: Iterable[Message]) -> list[Self]:
        """The models of many messages."""
        return [cls.of(message) for message in messages]


def absent_as_null(message: Any, *names: str) -> Any:
    """A message's fields for `Public`, with None where a field with presence is absent."""
    if not isinstance(message, Message):
        return message
    fields = {field.name: getattr(message, field.name) for field in message.DESCRIPTOR.fields}
    return fields | {name: None for name in names if not message.HasField(name)}


def _time(value: object) -> object:
    """A message's absent timestamp reads as the epoch: no event of ours happened then."""
    if isinstance(value, Timestamp):
        return value.ToDatetime(UTC) if value.seconds or value.nanos else None
    return value


def enum_words(enum: Any, prefix: str) -> BeforeValidator:
    """Number -> word without the prefix; 0 (unspecified) -> "NONE"."""

    def word(value: object) -> object:
        if not isinstance(value, int):
            return value
        return "NONE" if value == 0 else str(enum.Name(value)).removeprefix(prefix)

    return BeforeValidator(word)


Time = Annotated[datetime | None, BeforeValidator(_time)]
"""UTC; null where the service does not know."""
Many = Annotated[list[Item], BeforeValidator(list)]
"""A repeated field."""
Id = Annotated[str, Field(max_length=64, pattern=r"^[a-z0-9]+$")]
LabelName = Annotated[str, Field(max_length=32)]


Responses = dict[int | str, dict[str, Any]]
"""Extra answers of a route, for OpenAPI."""
