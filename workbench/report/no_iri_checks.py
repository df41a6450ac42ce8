"""Imported first by the child of a run: leave out an optional part of jsonschema that takes 1.7 s to import.

jsonschema, which nbformat uses, builds the grammar of internationalised addresses (rfc3987_syntax) if it is
installed, as JupyterLab has it installed. No notebook holds such addresses; without it jsonschema does not
check them. The kernel is another process and not affected.
"""

import sys

sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]  # None: "not installed"
