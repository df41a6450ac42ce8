"""The program: ``workbench``, or ``python -m workbench``."""

import signal
import sys
from types import FrameType
from typing import NoReturn


def main() -> None:
    """Run the command line; a Ctrl-C ends it in one line, also while it is still being imported."""
    # Where interrupts are ignored, as in the background, they stay ignored.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupted)
    from workbench.cli import main as command

    command()


def _interrupted(signum: int, frame: FrameType | None) -> NoReturn:
    print("interrupted", file=sys.stderr)
    sys.exit(128 + signum)


if __name__ == "__main__":
    main()
