"""What a board runs at power-up: finds out which board this is and starts the application.

The virtual board is told by its environment: BOARDLOOP_PORT=sim, BOARDLOOP_PERIPHERALS=host:port, BOARDLOOP_TOKEN,
BOARDLOOP_ROOT=folder. The real boards have no environment; there the modules tell.
"""

import os
import sys


def setting(name):
    getenv = getattr(os, "getenv", None)  # the K210's os has none
    return getenv(name) if getenv else None


def pick_port():
    """The Port of this board. Raises ImportError when no port knows it."""
    if setting("BOARDLOOP_PORT") == "sim":
        from ports import sim

        return sim.Port(setting("BOARDLOOP_PERIPHERALS"), setting("BOARDLOOP_TOKEN"), setting("BOARDLOOP_ROOT"))
    if sys.platform in ("MaixPy", "CanMV"):
        try:
            import KPU  # noqa: F401  MaixPy has it at the top; CanMV keeps it in `maix`
            from ports.k210_maixpy import Port
        except ImportError:
            from ports.k210_canmv import Port
        return Port()
    from ports.v831 import Port

    return Port()


def main():
    port = pick_port()
    from boardloop.app import App

    App(port).run()


if __name__ == "__main__":
    main()
