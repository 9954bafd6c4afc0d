"""Sphinx: the book, the guides, the results and the API's pages as one site that works from disk.

    python -m sphinx --fail-on-warning --jobs auto -c docs . docs/_build/html      # make site

The sources are the repository itself, so links between its files hold on the site, too.
"""

import sys
from importlib.metadata import version as version_of
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # site_parts.py

REPOSITORY = "https://github.com/eacbook/eacbook"

project = "eacbook"
author = copyright = "The eacbook authors"
version = release = version_of("eacbook")
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "site_parts",
]
root_doc = "docs/index"
include_patterns = ["*.md", "docs/**", "notebooks/*.ipynb", "*/README.md"]
# What Sphinx would walk through in vain.
exclude_patterns = [".*", "build", "data", "docs/_build", "eacbook", "runs", "tests"]

# The outputs are shown as they were saved. The state of a widget is not, but a picture of it is.
nb_execution_mode = "off"
nb_mime_priority_overrides = [("html", "application/vnd.jupyter.widget-view+json", None)]
nb_merge_streams = True
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_format = "short"
autodoc_default_options = {"members": True, "no-value": True, "show-inheritance": True}
napoleon_use_ivar = True
viewcode_follow_imported_members = False  # or there would be a page of Python's own typing.py

html_theme = "sphinx_book_theme"
html_title = "eacbook"
html_static_path = ["_static"]
html_context = {"default_mode": "auto"}  # light or dark, as the reader's system
html_css_files = ["site.css"]
html_js_files = [("site.js", {"defer": "defer"})]
templates_path = ["_templates"]
html_additional_pages = {"index": "to_the_first_page.html"}
html_sourcelink_suffix = ""  # or 01_label_noise.ipynb would be offered as 01_label_noise.ipynb.txt
html_theme_options = {
    "home_page_in_toc": True,
    "launch_buttons": {"colab_url": "https://colab.research.google.com"},
    "navbar_persistent": [],  # the search is in the sidebar
    "repository_branch": "main",
    "repository_url": REPOSITORY,
    "show_toc_level": 2,
    "use_repository_button": True,
}
