"""The places that name packages and addresses agree with pyproject.toml, their one source."""

import re
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement  # comes with pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # comes with pytest there

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
BADGE = ROOT / "notebooks" / "colab-badge.svg"  # our own: the book asks nothing of the internet
SOURCES = sorted((ROOT / "notebooks" / "source").glob("[0-9]*.py"))


def test_conda_environment_names_the_packages_of_pyproject():
    text = (ROOT / "environment.yml").read_text()
    (extras,) = re.findall(r"^ {6}- --editable=\.\[(.*)\]$", text, re.MULTILINE)
    assert set(extras.split(",")) <= set(PROJECT["optional-dependencies"])
    assert f"python{PROJECT['requires-python']}" in text


def test_packages_of_colab_are_within_our_bounds():
    """Or installing eacbook would move them; make test-colab proves it in an environment of its own."""
    stack = (ROOT / "tests" / "colab" / "stack.txt").read_text()
    extras = PROJECT["optional-dependencies"]
    needed = PROJECT["dependencies"] + extras["table"] + extras["book"] + extras["faces"]
    bounds = {bound.name: bound.specifier for bound in map(Requirement, needed)}
    pinned = re.findall(r"^([\w-]+)==(.+)$", stack, re.MULTILINE)
    ours = [(name, version) for name, version in pinned if name in bounds]
    assert len(ours) >= 3
    assert all(bounds[name].contains(version) for name, version in ours)


def test_version_stands_alike_everywhere():
    version = PROJECT["version"]
    assert f'__version__ = "{version}"' in (ROOT / "eacbook" / "__init__.py").read_text()
    assert f"version: {version}\n" in (ROOT / "CITATION.cff").read_text()


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_notebook_badge_and_set_up_carry_the_repository(source):
    address = PROJECT["urls"]["Repository"]
    repository = address.removeprefix("https://github.com/")
    text = source.read_text()
    notebook = f"notebooks/{source.stem}.ipynb"
    colab = f"https://colab.research.google.com/github/{repository}/blob/main/{notebook}"
    assert f"[![Open in Colab]({BADGE.name})]({colab})" in text and BADGE.is_file()
    assert f"git+{address}" in text
    ours = re.findall(r"github\.com/(eacbook/[\w-]+)", text)
    assert set(ours) == {repository}
