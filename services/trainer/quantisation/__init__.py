"""Quantisation-aware fine-tuning: the network learns to live with the chip's 8 bits (Jacob et al., arXiv:1712.05877).

best.pt ──► graph, batch normalisation folded ──► network.QuantisedNetwork: rounds like the target's converter
                                                    └──► tune: a few epochs, taught by the float network ──► tuned.pt
conversion: the plain file and the fine-tuned one ──► the chip's simulator, validation split ──► choice: the better one
"""

from services.trainer.quantisation.scheme import SCHEMES, Scheme, check_tunable

__all__ = ["SCHEMES", "Scheme", "check_tunable"]
