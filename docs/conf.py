"""The configuration of Sphinx. The site needs no network, neither to build nor to read it."""

import sys
from importlib.metadata import version as installed_version
from pathlib import Path

from sphinx.util.inspect import TypeAliasForwardRef

# Within a union, Sphinx would print the repr of an alias object instead of its name.
TypeAliasForwardRef.__repr__ = lambda alias: alias.name  # type: ignore[method-assign]

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

project = "nqm-lopt"
author = "The nqm-lopt authors"
copyright = "The nqm-lopt authors. Apache-2.0"
version = release = installed_version("nqm-lopt")

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinxarg.ext",
    "docs.extensions.mathml",
    "docs.extensions.pages",
    "docs.extensions.public",
    "docs.extensions.docstrings",
    "docs.extensions.presets",
    "docs.extensions.equations",
]
exclude_patterns = ["extensions", "**/.ipynb_checkpoints"]
# A name between backticks becomes a link if it is public here; explicit roles must resolve.
default_role = "py:obj"
nitpicky = True
nitpick_ignore_regex = [("py:(obj|class)", ".*"), ("py:data", r"typing\..*|Ellipsis")]
html_math_renderer = "mathml"

myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 4
# `make docs` runs the cells of the notebooks; the build of the tests does not.
nb_execution_mode = "off"
nb_execution_excludepatterns = ["*04-meta-train*"]
nb_execution_timeout = 300
nb_execution_raise_on_error = True
nb_execution_show_tb = True

autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints = "description"
autodoc_typehints_description_target = "all"
autodoc_typehints_format = "short"
autodoc_type_aliases = {"ArrayLike": "ArrayLike", "AnyArray": "AnyArray"}
autodoc_preserve_defaults = True
autosummary_generate = False
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 96
napoleon_google_docstring = False
napoleon_custom_sections = [("Attributes", "params_style")]
toc_object_entries_show_parents = "hide"

html_theme = "furo"
html_title = "nqm-lopt"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
templates_path: list[str] = []
