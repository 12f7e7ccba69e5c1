"""What a kernel of `make lab` knows before its first cell."""

import subprocess
import sys

from IPython.core.interactiveshell import InteractiveShell

from helpers.commands import startup


def test_an_unknown_name_says_what_to_run_and_no_name_of_ours_is_left(capsys):
    shell = InteractiveShell()
    before = set(shell.user_ns)
    shell.safe_execfile(startup.__file__, shell.user_ns, raise_exceptions=True)
    assert set(shell.user_ns) == before
    shell.run_cell("runs.final()")
    assert capsys.readouterr().out.endswith(
        "name 'runs' is not defined\n"
        "If a cell above defines it: a kernel that was restarted has forgotten it.\n"
        "Choose Run > Run All Above Selected Cell, then run this cell again.\n"
    )


def test_a_plain_python_passes_it_by():
    command = [sys.executable, "-I", "-S", startup.__file__]
    assert subprocess.run(command, check=True, capture_output=True).stdout == b""
