r"""Maths in Markdown as MathML, so that a report needs no script and no font from the network.

latex2mathml does the conversion. What it gets wrong without a word (unknown commands and environments,
unbalanced braces) is found here, shown in the page as its source, and listed in ``problems``; what browsers
that implement MathML Core would ignore (``mathvariant``, limits under ``\max``) is rewritten.
"""

import html
import re
import unicodedata
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, tostring

from latex2mathml.converter import Converter
from nbconvert.filters.markdown_mistune import (
    InvalidNotebook,
    IPythonRenderer,
    MarkdownWithMath,
    MathInlineParser,
)
from nbformat import NotebookNode

# LaTeX environment -> the one of latex2mathml that sets it, without equation numbers ("" = no frame at all).
_ENVIRONMENTS = {
    "equation": "",
    "equation*": "",
    "align": "align*",
    "align*": "align*",
    "aligned": "align*",
    "split": "split",
    "gather": "matrix",
    "gather*": "matrix",
    "gathered": "matrix",
    "array": "array",
    "cases": "cases",
    "smallmatrix": "smallmatrix",
    **{name: name for name in ("matrix", "pmatrix", "bmatrix", "Bmatrix", "vmatrix", "Vmatrix")},
}
_LIMIT_OPERATORS = {"max", "min", "sup", "inf", "lim", "lim sup", "lim inf", "det", "gcd", "Pr"}
_BAR = "\ue000"  # stands for | inside a formula of a table while Markdown is read
_SPACES = {"negativethinmathspace": "-0.167em", "negativemediummathspace": "-0.222em"}


class MathError(ValueError):
    """A formula that cannot be set as MathML."""


def to_mathml(latex: str, *, display: bool) -> str:
    """Convert a formula without its delimiters.

    Parameters
    ----------
    latex : str
        LaTeX source; ``equation``, ``align``, ``gather``, ``split``, ``cases``, ``array`` and the matrix
        environments are known.
    display : bool
        Set it on a line of its own.

    Raises
    ------
    MathError
        If latex2mathml cannot read it or would set it wrongly.
    """
    source = _prepared(latex)
    converter = Converter(display="block" if display else "inline")
    try:
        root = converter.convert_to_element(source)
    except Exception as error:  # latex2mathml's errors have no common base, and its slips are IndexErrors
        reason = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(error).__name__.removesuffix("Error")).lower()
        raise MathError(f"{reason} in ${latex.strip()}$") from error
    for element in root.iter():
        _repair(element, latex)
    return tostring(root, encoding="unicode")


def markdown_problems(notebook: NotebookNode, folder: Path) -> list[str]:
    """Lint the Markdown cells: one line for each formula or picture that a report could not show.

    Parameters
    ----------
    notebook : NotebookNode
        The notebook; its outputs are not looked at.
    folder : Path
        What the addresses of local pictures are relative to.
    """
    problems: list[str] = []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            renderer = ReportRenderer(folder, cell.get("attachments", {}))
            render_markdown(cell.source, renderer)
            problems += renderer.problems
    return problems


def render_markdown(source: str, renderer: "ReportRenderer") -> str:
    """Render Markdown to HTML; what could not be shown is added to ``renderer.problems``."""
    source = "\n".join(_hide_bars(line) if line.startswith("|") else line for line in source.split("\n"))
    markdown = MarkdownWithMath(renderer=renderer, inline=_InlineParser(hard_wrap=False))
    return markdown.render(source).replace(_BAR, "|")


class ReportRenderer(IPythonRenderer):
    """nbconvert's Markdown renderer with formulas as MathML and pictures inside the page.

    Parameters
    ----------
    folder : Path
        What the addresses of local pictures are relative to; pictures outside it are left out.
    attachments : dict
        The cell's attached pictures: name -> media type -> base64.

    Attributes
    ----------
    problems : list of str
        What could not be shown, in the order of the source.
    """

    def __init__(self, folder: Path, attachments: dict[str, dict[str, str]] | None = None) -> None:
        super().__init__(escape=False, embed_images=True, path=str(folder), attachments=attachments)
        self.problems: list[str] = []

    def inline_math(self, body: str) -> str:
        """Set a formula within a line."""
        return self._formula(body, f"${body}$", display=False)

    def block_math(self, body: str) -> str:
        """Set a formula on its own line."""
        return self._formula(body, f"$${body}$$", display=True)

    def latex_environment(self, name: str, body: str) -> str:
        r"""Set ``\begin{name}...\end{name}``."""
        source = f"\\begin{{{name}}}{body}\\end{{{name}}}"
        return self._formula(source, source, display=True)

    def heading(self, text: str, level: int, **_: Any) -> str:
        """Heading with an anchor; ``text`` is HTML already and may hold MathML."""
        words = html.unescape(re.sub(r"<[^>]*>", "", text)).strip()
        anchor = html.escape(re.sub(r"\s+", "-", words))
        link = f'<a class="anchor-link" href="#{anchor}" aria-hidden="true">¶</a>'
        return f'<h{level} id="{anchor}">{text}{link}</h{level}>\n'

    def image(self, text: str, url: str, title: str | None = None) -> str:
        """Embed an attachment or a local picture; say so where that is not possible."""
        try:
            picture = super().image(text, url, title)
        except InvalidNotebook:
            picture = ""
        if 'src="data:' in picture:
            return picture
        self.problems.append(f"the picture {url} is neither attached nor a local file beside the notebook")
        return f'<span class="left-out">Picture left out: {html.escape(text)} ({html.escape(url)})</span>'

    def _formula(self, body: str, source: str, *, display: bool) -> str:
        try:
            formula = to_mathml(body.replace(_BAR, "|"), display=display)
        except MathError as error:
            self.problems.append(str(error))
            return f'<code class="left-out" title="{html.escape(str(error))}">{html.escape(source)}</code>'
        return f'<span class="display-math">{formula}</span>' if display else formula


class _InlineParser(MathInlineParser):
    """nbconvert's parser, but ``$5 and $6`` is money: the two sides of a formula's delimiters look alike."""

    INLINE_MATH_TEX = (
        r"(?<![\\$])\$(?![\s$])(?P<math_inline_tex>(?s:(?:[^$\\]|\\.)+?))(?<!\s)\$(?![\d$])"
        r"|(?<![\\$])\$(?=\s)(?P<math_inline_padded>(?s:(?:[^$\\]|\\.)+?))(?<=\s)\$(?![\d$])"
    )
    SPECIFICATION = {**MathInlineParser.SPECIFICATION, "inline_math_tex": INLINE_MATH_TEX}  # noqa: RUF012

    def parse_inline_math_tex(self, m: re.Match[str], state: Any) -> int:
        """Append a formula, with or without blanks inside its delimiters."""
        body = m.group("math_inline_tex") or m.group("math_inline_padded")
        state.append_token({"type": "inline_math", "raw": body})
        return m.end()


def _hide_bars(row: str) -> str:
    """Hide the bars of formulas in a row of a table, where they would end the column."""
    return re.sub(_InlineParser.INLINE_MATH_TEX, lambda formula: formula[0].replace("|", _BAR), row)


def _prepared(latex: str) -> str:
    """Rewrite what latex2mathml does not know, refuse what it would set wrongly without a word."""
    source = re.sub(r"\\label\{[^{}]*\}|\\(?:nonumber|notag)\b", "", latex)
    if not source.strip():
        raise MathError("empty formula")
    braces = re.sub(r"\\.", "", source, flags=re.DOTALL)
    if braces.count("{") != braces.count("}"):
        raise MathError(f"unbalanced braces in ${latex.strip()}$")
    source = re.sub(r"\\mathrm\{(\w)\}", r"\\mathrm{{\1}}", source)  # one letter alone would come out italic
    source = re.sub(r"\\(begin|end)\{([^{}]*)\}", lambda match: _environment(match, latex), source)
    return re.sub(r"(\\operatorname\*?)\{([^{}]*)\}", lambda match: _operator(match, latex), source)


def _environment(match: re.Match[str], latex: str) -> str:
    side, name = match.groups()
    if name not in _ENVIRONMENTS:
        raise MathError(f"unknown environment {name!r} in ${latex.strip()}$")
    return f"\\{side}{{{_ENVIRONMENTS[name]}}}" if _ENVIRONMENTS[name] else ""


def _operator(match: re.Match[str], latex: str) -> str:
    command, name = match.groups()
    name = re.sub(r"\\[,:; ]|~|\s+", "\N{THIN SPACE}", name.strip())
    if "\\" in name:
        raise MathError(f"a command inside {command} in ${latex.strip()}$")
    return f"{command}{{{name}}}"


def _repair(element: Element, latex: str) -> None:
    """Give one element the form that MathML Core renders."""
    text = element.text = html.unescape(element.text) if element.text else element.text
    if text and element.tag != "mtext":
        if text.startswith("\\") and len(text) > 1:
            raise MathError(f"unknown command {text} in ${latex.strip()}$")
        if text == "&" and r"\&" not in latex:
            raise MathError(f"a stray & in ${latex.strip()}$")
        if text in ("|", "\N{DOUBLE VERTICAL LINE}") and element.get("stretchy") != "true":
            element.attrib.update(lspace="0", rspace="0")  # bars of a norm, not a relation
        elif text == "~":  # latex2mathml's \sim
            element.tag, element.text = "mo", "\N{TILDE OPERATOR}"
        elif len(text) > 1 and _words(text).replace(" ", "").isalpha():
            _make_named_operator(element, text)
    if element.tag == "mspace" and element.get("width") in _SPACES:
        element.set("width", _SPACES[element.attrib["width"]])
    if element.tag in ("msub", "msup", "msubsup"):
        _move_limits(element)
    variant = element.get("mathvariant")
    if variant and variant != "normal" and text and element.tag != "mtext":
        del element.attrib["mathvariant"]
        element.text = "".join(_styled(character, variant) for character in text)


def _words(name: str) -> str:
    """``lim sup`` with plain blanks; latex2mathml sets thin ones."""
    return re.sub(r"\s", " ", name)


def _make_named_operator(element: Element, name: str) -> None:
    """``log x``: a thin space after a function's name, which a plain identifier would not get."""
    element.tag = "mo"
    element.attrib.update(lspace="0.1em", rspace="0.167em")
    if _words(name) in _LIMIT_OPERATORS:
        element.set("movablelimits", "true")


def _move_limits(element: Element) -> None:
    """Put limits under ``max`` and its like; browsers move them aside within a line of text."""
    base = element[0]
    if base.get("movablelimits") == "true" or _words(html.unescape(base.text or "")) in _LIMIT_OPERATORS:
        element.tag = {"msub": "munder", "msup": "mover", "msubsup": "munderover"}[element.tag]


def _styled(character: str, variant: str) -> str:
    """Return the mathematical alphanumeric character of a style, e.g. R and ``double-struck`` -> ℝ."""
    style = variant.upper().replace("BOLD-", "BOLD ").replace("SERIF-", "SERIF ")
    name = re.sub(r"^(LATIN|GREEK) |LETTER ", "", unicodedata.name(character, ""))
    for candidate in (f"MATHEMATICAL {style} {name}", f"{style} {name}"):
        try:
            return unicodedata.lookup(candidate)
        except KeyError:
            continue
    return character
