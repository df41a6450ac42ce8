"""How kernels are written, which the interpreter's faults and the kernels' accuracy ask for."""

import ast
from pathlib import Path

import pytest

import workbench.kernels

FOLDER = Path(workbench.kernels.__file__).parent
FORBIDDEN = {
    "make_block_ptr": "is gone from newer releases: compute the addresses",
    "inline_asm_elementwise": "cannot be interpreted",
    "libdevice": "cannot be interpreted",
    "device_assert": "is silent: check in the launcher",
    "atomic_add": "sums in no fixed order: write partial sums",
}


def kernels():
    """Each function that is decorated with ``kernel``, by file and name."""
    for path in sorted(FOLDER.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and any(
                isinstance(mark, ast.Name) and mark.id == "kernel" for mark in node.decorator_list
            ):
                yield pytest.param(node, id=f"{path.stem}-{node.name}")


def unconverted_loads(function):
    """Lines of ``tl.load`` whose value is used before ``.to(...)``."""
    converted = {
        id(node.func.value)
        for node in ast.walk(function)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "to"
    }
    return [
        node.lineno
        for node in ast.walk(function)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "tl.load" and id(node) not in converted
    ]


@pytest.mark.parametrize("function", list(kernels()))
def test_every_load_is_converted_at_once(function):
    """bfloat16 is wrong in the interpreter, without a word, and sums in it lose digits anywhere."""
    assert unconverted_loads(function) == []


@pytest.mark.parametrize("function", list(kernels()))
def test_nothing_forbidden_is_used(function):
    used = {node.attr for node in ast.walk(function) if isinstance(node, ast.Attribute)}
    assert {name: FORBIDDEN[name] for name in used & FORBIDDEN.keys()} == {}


@pytest.mark.parametrize("function", list(kernels()))
def test_every_kernel_says_what_a_program_does(function):
    assert ast.get_docstring(function)


def long_numbers(function):
    """Numbers with more digits than one repeats without an error: they are to be constants of the file."""
    return [
        node.value
        for node in ast.walk(function)
        if isinstance(node, ast.Constant) and isinstance(node.value, float)
        if len(repr(node.value).split("e")[0].replace(".", "").strip("0")) > 3
    ]


@pytest.mark.parametrize("function", list(kernels()))
def test_constants_have_one_place(function):
    """What both paths use would be two numbers otherwise."""
    assert long_numbers(function) == []


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_no_file_imports_triton_when_it_is_imported(path):
    """(torch does, when it compiles or trains.)"""
    imports = [
        node for node in ast.parse(path.read_text()).body if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert not [
        line for line in map(ast.unparse, imports) if line.startswith(("import triton", "from triton"))
    ]


def test_the_check_of_numbers_can_fail():
    (function,) = ast.parse("def f(x):\n    return 0.5 * x + 0.7853981633974483 + 1 / 1260\n").body
    assert long_numbers(function) == [0.7853981633974483]


def test_the_check_of_loads_can_fail():
    (function,) = ast.parse("def f(p):\n    a = tl.load(p).to(tl.float32)\n    b = tl.load(p) + a\n").body
    assert unconverted_loads(function) == [3]
