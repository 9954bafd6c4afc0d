"""What is published: a wheel and a source archive, installed where nothing else is."""

import os
import subprocess
import sys
import tarfile
import zipfile

import pytest
from conftest import ROOT, UV

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name == "nt", reason="the folders of an environment have other names"),
]


def test_both_hold_every_module_and_nothing_else_of_the_repository(built):
    wheel, archive = built
    sources = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "eacbook").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(wheel) as file:
        names = {name for name in file.namelist() if ".dist-info/" not in name}
    assert names == sources
    with tarfile.open(archive) as file:
        inner = {name.partition("/")[2] for name in file.getnames()}
    assert sources <= inner


def test_the_core_trains_outside_of_the_repository(built, tmp_path):
    """Without any extra: nothing of them may be needed."""
    python = tmp_path / "venv/bin/python"
    subprocess.run(
        [UV, "venv", "--quiet", "--python", sys.executable, tmp_path / "venv"], check=True
    )
    subprocess.run([UV, "pip", "install", "--quiet", "--python", python, built[0]], check=True)
    clean = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"}

    def eacbook(*words):
        command = [python.with_name("eacbook"), *words]
        return subprocess.run(command, cwd=tmp_path, env=clean, capture_output=True, text=True)

    trained = eacbook("train", "--limit", "100", "--epochs", "1")
    assert trained.returncode == 0, trained.stderr
    assert "test accuracy" in trained.stdout
    assert "eac" in eacbook("runs").stdout
    for words, extra in ((["table", "--limit", "70"], "table"), (["demo"], "book")):
        refused = eacbook(*words)
        assert refused.returncode == 2
        assert f'pip install "eacbook[{extra}] @ git+https' in refused.stderr
        assert refused.stderr.strip().count("\n") == 0
