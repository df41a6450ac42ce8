"""The environment variables that the processes of a run start with."""

import os


def run_environment(threads: int | None = None) -> dict[str, str]:
    """Return the environment for a run; ``threads`` of each process are left to it if None."""
    environment = dict(os.environ)
    environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # spinning threads of busy processes starve others
    if threads is not None:
        environment["OMP_NUM_THREADS"] = str(threads)
    environment.pop("MPLBACKEND", None)  # the kernel chooses the inline backend only if none is chosen
    return environment
