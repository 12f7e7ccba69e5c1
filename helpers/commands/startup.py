"""What a kernel of `make lab` runs first, before any cell: a NameError says what to do about it.

After a restart a kernel knows no name, and a cell from the middle of a notebook can say no more.
JupyterLab's terminals get the same environment, so a plain Python must survive this file too.
"""

from typing import Any


def explain(shell: Any, kind: type, error: NameError, trace: Any, tb_offset: Any = None) -> None:
    """Show an unknown name with a note: how the cells above, which may define it, are run."""
    error.add_note(
        "If a cell above defines it: a kernel that was restarted has forgotten it.\n"
        "Choose Run > Run All Above Selected Cell, then run this cell again."
    )
    shell.showtraceback((kind, error, trace), tb_offset=tb_offset)


if kernel := globals().get("get_ipython"):
    kernel().set_custom_exc((NameError,), explain)
    del Any, explain, kernel  # a kernel's names are the reader's
