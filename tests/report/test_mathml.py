import base64
import xml.etree.ElementTree as ElementTree

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from workbench.report.mathml import (
    MathError,
    ReportRenderer,
    markdown_problems,
    render_markdown,
    to_mathml,
)

NAMESPACE = "{http://www.w3.org/1998/Math/MathML}"
PIXEL = base64.b64encode(b"not really a picture").decode()


def tree(latex, display=False):
    return ElementTree.fromstring(to_mathml(latex, display=display))


def tags(latex, display=False):
    return [element.tag.removeprefix(NAMESPACE) for element in tree(latex, display).iter()]


def text(latex, display=False):
    return "".join(tree(latex, display).itertext())


def rendered(source, folder, attachments=None):
    renderer = ReportRenderer(folder, attachments)
    return render_markdown(source, renderer), renderer.problems


@pytest.mark.parametrize(
    ("latex", "expected"),
    [
        (r"\frac{a}{b}", "ab"),
        (r"\mathbb R", "ℝ"),
        (r"\mathbb{R}", "ℝ"),
        (r"\mathbb{E}", "𝔼"),
        (r"\mathbb 1", "𝟙"),
        (r"\mathbf{H}", "𝐇"),
        (r"\mathbf{\Sigma}", "𝚺"),
        (r"\boldsymbol{\theta}", "𝜽"),
        (r"\mathcal{L}", "ℒ"),
        (r"a < b", "a<b"),
        (r"x \sim p", "x∼p"),
        (r"\text{a<b & c}", "a<b\N{NO-BREAK SPACE}&\N{NO-BREAK SPACE}c"),
        (r"\operatorname{tr} H", "trH"),
        (r"\operatorname*{arg\,min}_x f", "arg\N{THIN SPACE}minxf"),
    ],
)
def test_the_characters(latex, expected):
    assert text(latex) == expected


@pytest.mark.parametrize(
    "latex", [r"\max_x f", r"\argmax_x f", r"\operatorname*{arg\,min}_x f", r"\lim_{n} a"]
)
def test_limits_stand_under_the_operator(latex):
    assert "munder" in tags(latex, display=True)
    assert "msub" not in tags(latex, display=True)


def test_an_ordinary_index_stays_aside():
    assert "munder" not in tags(r"\lambda_1 + \log_2 n", display=True)


def test_one_upright_letter():
    (letter,) = [element for element in tree(r"\mathrm{d}").iter() if element.text == "d"]
    assert letter.get("mathvariant") == "normal"


def test_no_attribute_that_browsers_ignore():
    attributes = [
        element.get("mathvariant") for element in tree(r"\mathbf 1 \bm{x} \mathsf{T} \mathrm{KL}").iter()
    ]
    assert set(attributes) <= {None, "normal"}


def test_alignment_and_no_equation_numbers():
    latex = r"\begin{align} a &= b \label{eq:one} \\ c &= d \nonumber \end{align}"
    assert text(latex, display=True) == "a=bc=d"
    assert tags(latex, display=True).count("mtr") == 2
    assert [cell.get("columnalign") for cell in tree(latex).iter(f"{NAMESPACE}mtd")] == ["right", "left"] * 2


@pytest.mark.parametrize("name", ["aligned", "split", "align*", "pmatrix", "cases", "smallmatrix"])
def test_environments_are_tables(name):
    found = tags(rf"\begin{{{name}}} a & b \\ c & d \end{{{name}}}", display=True)
    assert [found.count(tag) for tag in ("mtable", "mtr", "mtd")] == [1, 2, 4]


def test_gathered_lines():
    found = tags(r"\begin{gather*} a \\ b \end{gather*}", display=True)
    assert [found.count(tag) for tag in ("mtable", "mtr", "mtd")] == [1, 2, 2]


@pytest.mark.parametrize(
    ("latex", "message"),
    [
        (r"\foo x", r"unknown command \\foo"),
        (r"\frac{1}{2", "unbalanced braces"),
        (r"\left( x", "extra left or missing right"),
        (r"a_1_2", "double subscripts"),
        (r"\begin{foo} x \end{foo}", "unknown environment 'foo'"),
        (r"a & b", "stray &"),
        (r"\operatorname{\foo}", "command inside"),
        (" ", "empty formula"),
    ],
)
def test_what_cannot_be_set_is_refused(latex, message):
    with pytest.raises(MathError, match=message):
        to_mathml(latex, display=False)


def test_what_cannot_be_set_stays_visible_and_is_reported(tmp_path):
    page, problems = rendered(r"Before $\foo{x} < 1$ after $y$", tmp_path)
    assert r">$\foo{x} &lt; 1$</code>" in page
    assert page.count("<math") == 1
    assert problems == [r"unknown command \foo in $\foo{x} < 1$"]


@pytest.mark.parametrize(
    "source",
    ["costs $5 and $6", "from $5 to $10, or $x", r"\$3 and \$4", "a $ sign", "`$x$`", "    $x$"],
)
def test_money_and_code_are_not_maths(source, tmp_path):
    page, problems = rendered(source, tmp_path)
    assert "<math" not in page
    assert "$" in page
    assert problems == []


@pytest.mark.parametrize(
    "source",
    [
        "$x$",
        "$ x $",
        "$$x$$",
        r"\\(x\\)",
        r"\begin{align} x \end{align}",
        "# $x$",
        "**$x$**",
        "- $x$",
        "paid $5, $x$",
    ],
)
def test_maths_is_found(source, tmp_path):
    page, problems = rendered(source, tmp_path)
    assert page.count("<math") == 1
    assert problems == []


def test_underscores_in_maths_are_no_emphasis(tmp_path):
    page, _ = rendered("$x_1$ and $y_1$, $a*b*c$", tmp_path)
    assert "<em>" not in page
    assert page.count("<msub>") == 2


def test_bars_in_a_table(tmp_path):
    page, problems = rendered("| a | b | c |\n|---|---|---|\n| $|x|$ | $\\|y\\|$ | `$|z|$` |\n", tmp_path)
    assert [page.count(tag) for tag in ("<td>", "<math")] == [3, 2]
    assert [
        "".join(formula.itertext()) for formula in ElementTree.fromstring(page).iter(f"{NAMESPACE}math")
    ] == [
        "|x|",
        "‖y‖",
    ]
    assert "<code>$|z|$</code>" in page
    assert problems == []


def test_a_heading_with_maths_has_a_plain_anchor(tmp_path):
    page, _ = rendered("## The `top` $\\lambda$\n\n[there](#The-top-λ)", tmp_path)
    assert '<h2 id="The-top-λ">' in page
    assert page.count("<math") == 1


def test_pictures_are_embedded_or_missed(tmp_path):
    (tmp_path / "near.png").write_bytes(b"near")
    near = base64.b64encode(b"near").decode()
    source = (
        "![a](near.png) ![b](attachment:c.png) "
        "![d](https://example.org/d.png) ![e](gone.png) ![f](attachment:g)"
    )
    page, problems = rendered(source, tmp_path, {"c.png": {"image/png": PIXEL}})
    assert f"data:image/png;base64,{near}" in page
    assert f"data:image/png;base64,{PIXEL}" in page
    assert page.count("<img") == 2
    assert page.count('class="left-out"') == 3
    assert ["d.png" in problems[0], "gone.png" in problems[1], "attachment:g" in problems[2]] == [True] * 3


def test_lint_of_a_notebook(tmp_path):
    notebook = new_notebook(
        cells=[
            new_markdown_cell("$x$"),
            new_code_cell(r"'$\foo$'"),
            new_markdown_cell(r"$\bar x$ and $\nosuch x$"),
            new_markdown_cell("![a](attachment:a.png)", attachments={"a.png": {"image/png": PIXEL}}),
        ]
    )
    assert markdown_problems(notebook, tmp_path) == [r"unknown command \nosuch in $\nosuch x$"]
