"""The directive ``live-figure``: what readers play with, numbered and captioned as any other figure.

Its content is what is shown, HTML for instance, and after it one paragraph: the caption. ``:name:`` is what the text
refers to it by.
"""

from __future__ import annotations

from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


class LiveFigure(SphinxDirective):
    """Put content and caption into one figure."""

    has_content = True
    option_spec: ClassVar = {"name": directives.unchanged_required, "figclass": directives.class_option}

    def run(self) -> list[nodes.Node]:
        figure = nodes.figure("", classes=["live-figure", *self.options.get("figclass", [])])
        self.state.nested_parse(self.content, self.content_offset, figure)
        if "name" not in self.options or len(figure) < 2 or not isinstance(figure[-1], nodes.paragraph):
            raise self.error("live-figure needs :name:, something to show, and after it a paragraph for caption")
        paragraph = figure.pop()
        caption = nodes.caption(paragraph.rawsource, "", *paragraph.children)
        self.set_source_info(figure)
        caption.source, caption.line = figure.source, figure.line
        figure += caption
        self.add_name(figure)
        return [figure]


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("live-figure", LiveFigure)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
