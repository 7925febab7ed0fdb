"""The portable core of a Boardloop board: MicroPython 1.11 subset, also valid CPython 3.8."""

VERSION = "0.1.0"
