"""Each notebook of the book, run top to bottom in JupyterLab, without the internet.

A notebook with explorers is run in their file.
"""

import pytest
from laboratory import NOTEBOOKS, assert_good

ELSEWHERE = ("00", "01", "03", "04")
NAMES = sorted(path.name for path in NOTEBOOKS.glob("*.ipynb") if path.name[:2] not in ELSEWHERE)


@pytest.mark.parametrize("name", NAMES)
def test_notebook_runs_and_shows_its_pictures(run_notebook, name):
    assert_good(run_notebook(name), name)
