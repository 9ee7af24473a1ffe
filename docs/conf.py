"""The documentation site.

Build it from the top of the checkout::

    python -m sphinx -W --keep-going -c docs . site

The source folder is the checkout itself, so that pages, notebooks and scenarios are where they also live for a reader
of the repository, and links between them hold in both places. What the site shows of the program (cards, commands,
scenario keys) is written by `docs/pages.py` into ``docs/generated`` at each build.
"""

import os
import re
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import pages  # noqa: E402

import bimu_hw  # noqa: E402

pages.write_all(HERE / "generated")

project = "bimu-hw"
author = "the bimu-hw maintainers"
version = release = bimu_hw.__version__

root_doc = "docs/index"
include_patterns = ["docs/**.md", "notebooks/*.ipynb", "CHANGELOG.md", "CONTRIBUTING.md"]
exclude_patterns = ["**/.ipynb_checkpoints"]
smartquotes = False
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_design",
]

myst_enable_extensions = ["colon_fence", "dollarmath", "fieldlist"]
myst_heading_anchors = 4
# A card or a scenario that a page links to is offered as a file.
myst_links_external_new_tab = True

# With BIMU_DOCS_EXECUTE=off the notebooks are shown without their results: quicker, for a look at the prose.
nb_execution_mode = os.environ.get("BIMU_DOCS_EXECUTE", "auto")
nb_execution_timeout = 900
nb_execution_raise_on_error = True
nb_merge_streams = True

napoleon_google_docstring = False
napoleon_use_rtype = False
autodoc_member_order = "bysource"
autodoc_typehints = "none"

html_theme = "pydata_sphinx_theme"
html_title = "bimu-hw"
html_static_path = ["static"]
html_css_files = ["bimu.css"]
html_extra_path = ["extra"]
html_show_sourcelink = False
html_theme_options = {
    "navbar_align": "left",
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}
copyright = "the bimu-hw maintainers, Apache-2.0"


def keep_formulas(app, what, name, obj, options, lines):
    """Write formulas of docstrings, |lam| and V**2, so that they are not taken for markup."""
    lines[:] = [re.sub(r"(?<=[\w)])\*\*(?=[\w(])", r"\\*\\*", line).replace("|", "\\|") for line in lines]


def setup(app):
    """Tie in what the extensions do not do by themselves."""
    # After napoleon, which comes at 500.
    app.connect("autodoc-process-docstring", keep_formulas, priority=600)
