"""How Sphinx turns the stored notebooks and the helpers' docstrings into the site."""

import sys
import tomllib
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from helpers.commands import front, openings  # noqa: E402

project = "Phase 03, measured"
copyright = "the authors; MIT licence"
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.viewcode",
    "sphinx-mathjax-offline",
]
myst_enable_extensions = ["dollarmath", "amsmath"]
nb_execution_mode = "off"
nb_code_prompt_show = "Show the code"
nb_code_prompt_hide = "Hide the code"
autodoc_typehints = "description"
autodoc_inherit_docstrings = False  # what PyTorch says of its methods stands in its own pages
autodoc_member_order = "bysource"
default_role = "code"
html_theme = "furo"
html_title = project
html_favicon = "static/favicon.svg"
html_static_path = ["static"]
html_css_files = ["course.css"]
html_js_files = ["accessibility.js"]
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
suppress_warnings = ["mystnb.unknown_mime_type", "myst.header"]

if front.address():  # a fork that has none links to none
    icon = {"name": "Repository", "url": front.address(), "html": "Repository", "class": ""}
    html_theme_options = {"footer_icons": [icon]}

with (ROOT / "pyproject.toml").open("rb") as file:
    ABOUT = tomllib.load(file)["project"]["description"]


def describe(app, pagename, templatename, context, doctree):
    """What search engines and messengers say of a page: a notebook's question, else the course."""
    opening = openings.openings().get(pagename)
    about = opening.question if opening else ABOUT
    title = project if pagename == "index" else f"{context.get('title', '')} · {project}"
    tags = {
        'name="description"': about,
        'property="og:description"': about,
        'property="og:title"': title,
        'property="og:site_name"': project,
        'property="og:type"': "website",
        'name="twitter:card"': "summary",
    }
    written = (f'<meta {name} content="{escape(value)}">' for name, value in tags.items())
    context["metatags"] = context.get("metatags", "") + "\n".join(written)


def setup(app):
    """Called by Sphinx."""
    app.connect("html-page-context", describe)
