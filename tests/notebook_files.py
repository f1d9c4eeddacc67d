"""Small notebooks for tests: written in a line, and read back when they were executed."""

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

PARAMETERS = "iterations: int = 2  # steps\nname: str = 'a'\nrate: float = 0.5\nfast: bool = True"
SECRET = "sk-test-0123456789abcdef"  # pragma: allowlist secret


def write(folder, name, *cells, parameters=PARAMETERS, needs=()):
    """Write a small notebook and return its path."""
    notebook = new_notebook(metadata={"genius_kit": {"needs": list(needs)}, "language_info": {"name": "python"}})
    notebook.metadata["kernelspec"] = {"name": "no-such-kernel", "display_name": "none", "language": "python"}
    notebook.cells.append(new_markdown_cell(f"# Title of {name}"))
    if parameters:
        notebook.cells.append(new_code_cell(parameters, metadata={"tags": ["parameters"]}))
    notebook.cells += [new_code_cell(cell) for cell in cells]
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.ipynb"
    nbformat.write(notebook, path)
    return path


def outputs(path):
    """Return all text that an executed notebook printed."""
    cells = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
    return "".join(output.get("text", "") for cell in cells for output in cell.outputs)
