"""How Sphinx turns the executed notebooks and the helpers' docstrings into the site."""

project = "Phase 03, measured"
copyright = "the authors; MIT licence"
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.viewcode",
    "sphinx-mathjax-offline",
]
myst_enable_extensions = ["dollarmath", "amsmath"]
nb_execution_mode = "off"  # outputs are those of the last run
autodoc_typehints = "description"
autodoc_member_order = "bysource"
default_role = "code"
html_theme = "furo"
html_title = project
html_favicon = "static/favicon.svg"
html_static_path = ["static"]
html_css_files = ["course.css"]
html_js_files = ["keyboard.js"]
html_show_sourcelink = False
html_show_sphinx = False
suppress_warnings = ["mystnb.unknown_mime_type", "myst.header"]
