"""A conversion child that does all its work, and then finds that it cost too much."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from services.common.errors import UnsupportedModel
from services.trainer.children import error_event
from services.trainer.conversion import finish

finish(Path(sys.argv[1]), sys.argv[2], lambda event: print(json.dumps(event), flush=True))
lost = UnsupportedModel(
    "ACCURACY_DROP", "accuracy falls: layer conv3_dw loses most.", fix="Allow more.", layer="conv3_dw"
)
print(json.dumps(error_event(lost)), flush=True)
sys.exit(1)
