"""Sphinx: the API's pages from the docstrings, and the guides beside them."""

from importlib.metadata import version as version_of

project = "eacbook"
author = "The eacbook authors"
version = release = version_of("eacbook")
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
nb_execution_mode = "off"
html_theme = "sphinx_book_theme"
html_title = "eacbook"
html_theme_options = {
    "repository_url": "https://github.com/eacbook/eacbook",
    "use_repository_button": True,
}
exclude_patterns = ["_build"]
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_format = "short"
autodoc_default_options = {"members": True, "show-inheritance": True}
napoleon_use_ivar = True
myst_heading_anchors = 3
suppress_warnings = ["myst.xref_missing"]
