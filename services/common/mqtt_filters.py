"""Topics and filters of MQTT 3.1.1 (section 4.7)."""

from __future__ import annotations

from functools import lru_cache

__all__ = ["is_filter", "is_topic", "literal_start", "matches"]


def is_topic(topic: str) -> bool:
    """A topic to publish to; those that begin with `$` are the broker's own, and this one has none."""
    return bool(topic) and not topic.startswith("$") and not set("+#\0") & set(topic)


def is_filter(topic_filter: str) -> bool:
    """MQTT 3.1.1 section 4.7.1: a wildcard fills a level, and `#` only the last."""
    *front, last = topic_filter.split("/")
    if (
        not topic_filter
        or "\0" in topic_filter
        or any("#" in level for level in front)
        or ("#" in last and last != "#")
    ):
        return False
    return all(level == "+" for level in (*front, last) if "+" in level)


@lru_cache(maxsize=4096)
def literal_start(topic_filter: str) -> str:
    """What every matching topic begins with: a cheap first test when a fleet has a filter per board."""
    literal = topic_filter.split("+")[0].split("#")[0]
    return literal[:-1] if topic_filter.endswith("/#") and literal + "#" == topic_filter else literal


def matches(topic: str, topic_filter: str) -> bool:
    """MQTT 3.1.1 section 4.7; topics that begin with `$` do not exist here."""
    levels, wanted = topic.split("/"), topic_filter.split("/")
    if wanted[-1] == "#":
        wanted.pop()
        levels = levels[: len(wanted)] if len(levels) >= len(wanted) else levels
    return len(levels) == len(wanted) and all(want in ("+", level) for want, level in zip(wanted, levels, strict=True))
