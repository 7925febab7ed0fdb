"""tests/golden for scripts."""

import json
import os

FOLDER = os.getenv("GOLDEN")


def read(name):
    with open(FOLDER + "/" + name, "rb") as f:
        return f.read()


index = json.loads(read("index.json").decode())
