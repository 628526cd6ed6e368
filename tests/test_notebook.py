"""The notebook docs/first_steps.ipynb runs from beginning to end, and is stored with its outputs."""

import base64
import io
import re

import matplotlib.image
import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from tests.documents import PAGES
from tests.runs import ROOT
from tests.sources import files_of_kind

NOTEBOOK = ROOT / "docs" / "first_steps.ipynb"
PICTURES = 3  # the gradient, TSR and the decision
MACHINE_PATH = re.compile(r"(?<![\w.])/(home|root|tmp|work|mnt|Users|usr|opt|private|var)/|[A-Z]:\\\\")


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs_of(notebook):
    return [output for cell in code_cells(notebook) for output in cell.outputs]


def pictures_in(notebook):
    """Return the pictures in the outputs, each (H, W, 4)."""
    stored = [output.data["image/png"] for output in outputs_of(notebook) if "image/png" in output.get("data", {})]
    return [matplotlib.image.imread(io.BytesIO(base64.b64decode(text)), format="png") for text in stored]


def printed(notebook):
    """Return what the cells print, as one text."""
    return "".join(output.text for output in outputs_of(notebook) if output.output_type == "stream")


def complaints_in(notebook):
    """Return the outputs that are errors or warnings."""
    return [output for output in outputs_of(notebook)
            if output.output_type == "error" or output.get("name") == "stderr"]


def lines_with_class(notebook):
    """Return the lines that name the classes and the predicted class."""
    return [line for line in printed(notebook).splitlines() if line.startswith(("classes:", "predicted:"))]


def execute(notebook, folder):
    """Run all cells in a kernel that starts in a folder, and keep the outputs in the notebook."""
    place = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=600, startup_timeout=600, kernel_name="python3", resources=place).execute()


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A folder that looks like the project, so that the results of the notebook are written there."""
    root = tmp_path_factory.mktemp("project")
    for room in ("data", "model", "runtime", "saliency"):
        (root / room).symlink_to(ROOT / room)
    (root / "docs").mkdir()
    return root


@pytest.fixture(scope="module")
def stored():
    return nbformat.read(NOTEBOOK, as_version=4)


def test_it_runs_and_gives_what_is_stored(project, stored):
    fresh = nbformat.read(NOTEBOOK, as_version=4)
    for cell in code_cells(fresh):
        cell.outputs = []
    execute(fresh, project / "docs")
    assert complaints_in(fresh) == []
    assert len(pictures_in(fresh)) == PICTURES
    assert lines_with_class(fresh) == lines_with_class(stored) == ["classes: running, walking", "predicted: walking"]
    pages = list(project.glob("results/first_steps/*/report.html"))
    assert len(pages) == 1 and '"clip": "drawn_walking"' in pages[0].read_text(encoding="utf-8")
    assert printed(fresh).splitlines()[-1] == pages[0].relative_to(project).as_posix()


def test_an_error_in_a_cell_is_found(project):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 / 0")])
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        execute(notebook, project / "docs")


def test_stored_outputs_are_complete(stored):
    nbformat.validate(stored)
    assert [cell.execution_count for cell in code_cells(stored)] == list(range(1, len(code_cells(stored)) + 1))
    silent = [cell for cell in code_cells(stored) if not cell.outputs]
    assert silent == code_cells(stored)[:1]  # only the imports print nothing
    assert complaints_in(stored) == []
    pictures = pictures_in(stored)
    assert len(pictures) == PICTURES
    for picture in pictures:
        assert min(picture.shape[:2]) > 200 and np.unique(picture[..., :3]).size > 50  # not a blank page
    assert NOTEBOOK.stat().st_size < 600_000


def test_links_lead_to_pages(stored):
    text = "\n".join(cell.source for cell in stored.cells if cell.cell_type == "markdown")
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    assert links and [link for link in links if not (NOTEBOOK.parent / link).is_file()] == []
    assert "(docs/first_steps.ipynb)" in PAGES["README.md"] and "(first_steps.ipynb)" in PAGES["docs/usage.md"]


def test_cells_are_short_and_no_notebook_names_a_machine():
    notebooks = files_of_kind(".ipynb")
    assert NOTEBOOK.relative_to(ROOT) in notebooks
    for path in notebooks:
        notebook = nbformat.read(ROOT / path, as_version=4)
        lines = [line for cell in notebook.cells for line in cell.source.splitlines()]
        assert max(map(len, lines)) <= 120
        for output in outputs_of(notebook):
            output.get("data", {}).pop("image/png", None)  # base64 has slashes of its own
        assert MACHINE_PATH.findall(nbformat.writes(notebook)) == []


@pytest.mark.parametrize("text", ["/home/me/clip.avi", "in /tmp/x", '"/opt/main"', "C:\\\\Users"])
def test_a_machine_path_is_found(text):
    assert MACHINE_PATH.search(text)


def test_a_path_of_the_project_is_no_machine_path():
    assert not MACHINE_PATH.search("results/first_steps/tmp/report.html, model/pretrained and ./opt/")
