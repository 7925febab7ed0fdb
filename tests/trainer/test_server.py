"""What the server of the trainer is made of."""

from __future__ import annotations

import subprocess
import sys


def test_the_server_starts_without_pytorch() -> None:
    code = "import sys, services.trainer.server, services.trainer.service; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
