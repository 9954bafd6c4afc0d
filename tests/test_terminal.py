"""Commands at their edge: closed streams, pipes without a reader, encodings, too little memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from eacbook import __version__, cli, terminal
from eacbook.errors import LONGEST, InputError, one_line

ROOT = Path(__file__).parents[1]
needs_shell = pytest.mark.skipif(os.name != "posix", reason="needs a POSIX shell")


def shell(line, script="", **environment):
    """A line of bash in which ``$PY`` runs a script, and ``$PYTHON`` is Python."""
    variables = os.environ | {"RUN": script, "PYTHON": sys.executable} | environment
    line = line.replace("$PY ", '"$PYTHON" -c "$RUN" ')
    return subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, env=variables, cwd=ROOT, check=False
    )


def command(does):
    return (
        "from eacbook import terminal\nimport argparse, sys\n"
        f"def command():\n    {does}\nsys.exit(terminal.run('prog', command))"
    )


SAY_MUCH = command("print('said ' * 30_000)")
SAY_OFTEN = command("for _ in range(30_000): print('said', file=sys.stderr)")
SAY = command("print('said')")
FAIL = command("raise terminal.InputError('no')")
HELP = command("argparse.ArgumentParser().parse_args(['--help'])")


@pytest.mark.slow
@needs_shell
@pytest.mark.parametrize(
    ("line", "script", "status"),
    [
        ("$PY | head -c 3 >/dev/null; exit ${PIPESTATUS[0]}", SAY_MUCH, 141),
        ("$PY | true; exit ${PIPESTATUS[0]}", SAY_MUCH, 141),
        ("$PY | cat >/dev/null; exit ${PIPESTATUS[0]}", SAY_MUCH, 0),
        ("$PY 2>&1 | head -c 3 >/dev/null; exit ${PIPESTATUS[0]}", SAY_OFTEN, 141),
        ("$PY > >(exec true); exit $?", command("import time; time.sleep(.3); print(1)"), 141),
        ("$PY >&-", SAY, 0),
        ("$PY 2>&-", SAY, 0),
        ("$PY 2>&-", SAY_OFTEN, 0),
        ("$PY <&- >&- 2>&-", SAY_MUCH, 0),
        ("$PY >&-", FAIL, 2),
        ("$PY 2>&-", FAIL, 2),
        ("$PY >&-", HELP, 0),
        ("$PY 2>&-", HELP, 0),
        ('"$PYTHON" -m eacbook --help | true; exit ${PIPESTATUS[0]/141/0}', "", 0),
        ('"$PYTHON" -m eacbook nonsense 2>&-', "", 2),
        ('"$PYTHON" -m eacbook lab --help >&-', "", 0),
        ('"$PYTHON" data_scripts/rafdb.py nowhere --out nowhere 2>&-', "", 2),
        ('"$PYTHON" data_scripts/ferplus.py --help >&-', "", 0),
    ],
)
def test_streams_that_nobody_reads_are_no_error(line, script, status):
    done = shell(line, script)
    assert done.returncode == status, done
    assert done.stderr.replace("prog: error: no\n", "") == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the full device of Linux")
def test_a_full_disk_under_the_output_is_one_line():
    done = shell("$PY >/dev/full", SAY)
    assert done.returncode == 2
    assert done.stderr == "prog: error: [Errno 28] No space left on device\n"


@needs_shell
def test_a_file_never_takes_the_place_of_a_closed_stream(tmp_path):
    """What a library writes to the terminal would go into it."""
    script = command(
        f"file = open({str(tmp_path / 'data')!r}, 'w')\n"
        "    import os; os.system('echo noise >&2; echo noise')"
    )
    assert shell("$PY >&- 2>&- <&-", script).returncode == 0
    assert (tmp_path / "data").read_text() == ""


@needs_shell
def test_what_cannot_be_encoded_is_escaped():
    script = command("print('3 \\N{PLUS-MINUS SIGN} 1'); print('\\N{SNOWMAN}', file=sys.stderr)")
    done = shell("$PY ", script, PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stdout, done.stderr) == (0, "3 \\xb1 1\n", "\\u2603\n")


@pytest.mark.parametrize(
    "ask",
    [
        lambda: np.empty(1 << 50),
        lambda: torch.empty(1 << 50),
        lambda: torch.empty(1 << 62, 1 << 62),
        lambda: [0] * (1 << 60),
    ],
)
def test_too_little_memory_is_one_sentence(ask, capsys):
    assert terminal.run("prog", ask, "take a smaller --size") == 2
    assert capsys.readouterr().err == "prog: error: not enough memory: take a smaller --size\n"


def test_the_command_says_what_needs_less_memory(monkeypatch, capsys):
    def too_large(source):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")

    monkeypatch.setattr("eacbook.data.faces.load_faces", too_large)
    assert cli.main(["train"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("eacbook: error: not enough memory: take a smaller --size or --batch-")


def test_an_error_of_ours_keeps_its_traceback():
    def fail():
        raise RuntimeError("a fault")

    with pytest.raises(RuntimeError, match="a fault"):
        terminal.run("prog", fail)


def test_the_version(capsys):
    with pytest.raises(SystemExit) as done:
        cli.main(["--version"])
    assert done.value.code == 0
    assert capsys.readouterr().out == f"eacbook {__version__}\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("in no/such\nfolder\x1b[2J: \udc80", "in no/such\\nfolder\\x1b[2J: \\udc80"),
        ("é 高兴 e\u0301\u2028", "é 高兴 e\u0301\\u2028"),
        ("a" + "x" * 10_000_000 + "z", f"a{'x' * 496} ... {'x' * 496}z"),
    ],
)
def test_a_message_is_one_line_of_a_sensible_length(text, line, capsys):
    def refuse():
        raise InputError(text)

    assert str(InputError(text)) == one_line(text) == line
    assert terminal.run("prog", refuse) == 2
    assert capsys.readouterr().err == one_line(f"prog: error: {text}") + "\n"
    with pytest.raises(SystemExit):
        terminal.Parser(prog="prog").parse_args([text])
    printed = capsys.readouterr().err.splitlines()[-1]
    assert printed.isprintable() and len(printed) <= LONGEST


@pytest.mark.parametrize("option", ["--folder=--", f"--folder={'x' * 5000}"])
def test_an_option_that_is_no_path_gets_one_line_of_a_sensible_length(option, capsys):
    try:
        status = cli.main(["runs", option])
    except SystemExit as ended:
        status = ended.code
    line = capsys.readouterr().err.splitlines()[-1]
    assert status == 2 and line.startswith("eacbook") and len(line) <= 1000
