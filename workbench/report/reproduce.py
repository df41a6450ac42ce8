"""The one line that runs a report again."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from workbench import paths
from workbench.parameters import Parameter
from workbench.report.prepare import Request


def command(request: Request, parameters: Sequence[Parameter]) -> str:
    """Return the command that asks for the same run, quoted for a shell.

    Parameters
    ----------
    request : Request
    parameters : sequence of Parameter
        Of its notebook; only those that differ from their defaults are named.

    Returns
    -------
    str
        E.g. ``workbench report curvature -p problem digits-cnn -p k 20``.
    """
    source = Path(request.source)
    words = ["workbench", "report", request.name if source.parent == paths.notebooks() else request.source]
    for each in parameters:
        if each.name in request.changed:
            words += ["-p", each.name, each.text(request.changed[each.name])]
    return shlex.join(words)
