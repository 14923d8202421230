"""The numbered tutorials have the form that they promise. `.ci/run` runs them."""

import ast
import importlib.util
import json
import re
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / "tutorials"
SCRIPTS = sorted(FOLDER.glob("[0-9]*.py"))
README = (FOLDER / "README.md").read_text("utf-8")


def module(name):
    """A module of the folder, without putting the folder on the path."""
    spec = importlib.util.spec_from_file_location(f"tutorials_{name}", FOLDER / f"{name}.py")
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


@pytest.fixture(scope="module")
def notebooks():
    return module("make_notebooks")


def test_they_are_numbered_without_gaps():
    assert [path.name[:2] for path in SCRIPTS] == [f"{k:02}" for k in range(1, len(SCRIPTS) + 1)]
    assert len(SCRIPTS) == 9


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_form(path, notebooks):
    cells = notebooks.cells_of(path.read_text("utf-8"))
    texts = [text for kind, text in cells if kind == "markdown"]
    code = "\n".join(text for kind, text in cells if kind == "code")
    # It begins with its number and title, and ends with what was seen.
    assert re.match(rf"# {int(path.name[:2])}\. \S", texts[0])
    assert "## What was seen" in texts[-1]
    assert cells[-1] == ("code", "tutorial.done()")
    assert f'Tutorial("{int(path.name[:2])}. ' in code
    # matplotlib is optional, and nothing is downloaded.
    assert "import matplotlib" not in code and "urllib" not in code and "requests" not in code
    assert len(path.read_text("utf-8").splitlines()) < 400


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_what_it_imports_from_the_folder_goes_with_the_notebooks(path, notebooks):
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and (FOLDER / f"{node.module}.py").exists():
            assert f"{node.module}.py" in notebooks.HELPERS


def test_notebooks(notebooks, tmp_path):
    written = notebooks.make(tmp_path)
    assert [path.stem for path in written] == [path.stem for path in SCRIPTS]
    assert all((tmp_path / name).exists() for name in notebooks.HELPERS)
    for path in written:
        book = json.loads(path.read_text("utf-8"))
        assert (book["nbformat"], book["nbformat_minor"]) == (4, 5)
        assert set(book) == {"cells", "metadata", "nbformat", "nbformat_minor"}
        assert book["metadata"]["kernelspec"]["name"] == "python3"
        ids = [cell["id"] for cell in book["cells"]]
        assert len(set(ids)) == len(ids)
        assert all(re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", name) for name in ids)
        for cell in book["cells"]:
            keys = {"cell_type", "id", "metadata", "source"}
            if cell["cell_type"] == "code":
                keys |= {"execution_count", "outputs"}
                assert cell["outputs"] == [] and cell["execution_count"] is None
                compile("".join(cell["source"]), path.name, "exec")
            else:
                assert cell["cell_type"] == "markdown"
            assert set(cell) == keys
            assert cell["source"] and all(line.endswith("\n") for line in cell["source"][:-1])


def test_a_notebook_has_all_of_its_script(notebooks):
    for path in SCRIPTS:
        script = path.read_text("utf-8")
        book = notebooks.notebook_of(script)
        code = [c["source"] for c in book["cells"] if c["cell_type"] == "code"]
        assert ast.dump(ast.parse("\n".join("".join(c) for c in code))) == ast.dump(
            ast.parse(script)
        )


@pytest.mark.parametrize(
    "script", ["import os\n# %%\n", "# %% [raw]\n# x\n", "# %% [markdown]\nx = 1\n"]
)
def test_what_is_no_tutorial_is_refused(notebooks, script):
    with pytest.raises(ValueError, match="begin|unknown kind|no comment"):
        notebooks.cells_of(script)


def test_readme_has_them_all():
    helpers = {"common", "make_notebooks"}
    for path in FOLDER.glob("*.py"):
        assert f"`{path.name}`" in README or path.stem in helpers, path.name


def test_arguments(monkeypatch, tmp_path, capsys):
    common = module("common")
    monkeypatch.setattr(sys, "argv", ["x", "--tiny", "--output", str(tmp_path / "new")])
    tutorial = common.Tutorial("A title")
    assert tutorial.tiny and tutorial.output == tmp_path / "new" and tutorial.output.is_dir()
    assert "tiny" in capsys.readouterr().out
    figure = tutorial.figure(3, 2)
    assert tutorial.pictures and tuple(figure.get_size_inches()) == (3, 2)
    tutorial.save(figure, "picture.png")
    assert (tutorial.output / "picture.png").read_bytes().startswith(b"\x89PNG")
    # A notebook's own arguments are none of ours.
    monkeypatch.setitem(sys.modules, "ipykernel", common)
    monkeypatch.setattr(sys, "argv", ["ipykernel_launcher", "-f", "kernel.json"])
    monkeypatch.chdir(tmp_path)
    tutorial = common.Tutorial("A title")
    assert not tutorial.tiny and tutorial.notebook and tutorial.output.is_dir()
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert not tutorial.pictures
    tutorial.done()
