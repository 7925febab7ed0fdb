"""`boardloop convert`: a model file and a folder of pictures to a measured file for a chip.

source ──► Graph ──┐                      ┌──► convert ──► simulate ──► compare ──► Outcome ──► table, files, page
folder ──► Collection: calibrate on some ─┴──► … measure on the others
remote ──► the same Outcome, from a running server

"""

from services.trainer.convert_command.run import Request, run_convert

__all__ = ["Request", "run_convert"]
