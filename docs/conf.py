"""How Sphinx builds the documentation; it needs no network."""

from __future__ import annotations

from trionet import __version__

project = "trionet"
author = "the trionet developers"
copyright = "2026, the trionet developers"
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinxcontrib_trio",
]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"trionet {release}"

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_class_signature = "mixed"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
default_role = "py:obj"
napoleon_custom_sections = ["Cancellation"]
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False

# Names of others, whose documentation is not here to refer to.
foreign = (
    "attrs? collections contextlib datetime decimal enum httpx logging opentelemetry os outcome "
    "pathlib prometheus_client pytest random rich ssl trio trio_websocket types typer typing "
    "typing_extensions uuid warnings"
)
nitpick_ignore_regex = [
    (r"py:.*", rf"({foreign.replace(' ', '|')})(\..+)?"),
    # A public name says that it is of a facade; what has the path of a layer is internal, or a type variable.
    (r"py:(class|obj|mod)", r"trionet\.[a-z]\w*(\..+)?"),
    # What is imported for type checkers only has no path at all.
    (r"py:class", r"[A-Z](_co)?|AbstractAsyncContextManager|Actor|Request"),
]
