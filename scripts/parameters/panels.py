"""Which picture has which panels: docs/pictures/<name>.png."""

from scripts.parameters import job, learning, pace, tiles

__all__ = ["PANELS"]

# The sentences say what the runs showed when they were written: read them again beside runs that are made anew.
PANELS = {
    "parameters-job": job.PANELS,
    "parameters-pace": pace.PANELS,
    "parameters-learning": learning.PANELS,
    "parameters-pictures": tiles.PANELS,
}
