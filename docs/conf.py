"""The documentation site: `make docs` builds it into docs/_build/html, without a request to another host."""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "benchkit"
author = "the authors of benchkit"
copyright = "the authors of benchkit"
release = importlib.metadata.version("artifact-benchkit")

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
    "docstrings",
    "mathml",
    "site_pages",
]
exclude_patterns = ["_build", "_ext", "pictures"]
templates_path = ["_templates"]
highlight_language = "none"
smartquotes = False
# Sphinx warns of a heading level that is skipped, a page in no table of contents, a link that leads nowhere: `-W`.
show_warning_types = True

myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence", "attrs_inline"]
myst_heading_anchors = 4
myst_links_external_new_tab = False

# Notebooks are stored without outputs. The first three run while the site is built; the fourth needs a GPU.
nb_execution_mode = "force"
nb_execution_excludepatterns = ["tutorials/stable-diffusion.ipynb"]
nb_execution_timeout = 900
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_merge_streams = True
# Libraries warn there that a notebook has no widgets.
nb_output_stderr = "remove"
# Widgets would be loaded from another host.
nb_ipywidgets_js = {}

autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints = "signature"
add_module_names = False
python_use_unqualified_type_names = True
maximum_signature_line_length = 88
toc_object_entries_show_parents = "hide"
napoleon_google_docstring = True
napoleon_numpy_docstring = False

html_theme = "pydata_sphinx_theme"
html_title = "benchkit"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_math_renderer = "mathml"
html_theme_options = {
    "logo": {"text": "benchkit"},
    "navbar_align": "left",
    "navbar_end": ["theme-switcher"],
    "header_links_before_dropdown": 5,
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
    "footer_start": ["copyright"],
    "footer_center": [],
    "footer_end": [],
    "secondary_sidebar_items": {"**": ["page-toc"], "index": []},
}
html_sidebars = {"index": []}
html_context = {"default_mode": "auto"}
copybutton_exclude = ".linenos, .gp, .go"
