"""A fixture that runs a notebook in its own kernel."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def execute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Return a function that runs a notebook in an empty folder and evaluates expressions."""
    # Use the kernel of this interpreter and the packages of this checkout.
    kernels = tmp_path / "jupyter" / "kernels" / "python3"
    kernels.mkdir(parents=True)
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    document = {"argv": command, "display_name": "Python 3", "language": "python"}
    (kernels / "kernel.json").write_text(json.dumps(document))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    # Compilation takes most of the time, so optimize it less.
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_backend_optimization_level=0"
    monkeypatch.setenv("XLA_FLAGS", flags.strip())
    folder = tmp_path / "work"
    folder.mkdir()

    def run(name: str, code: str = "", *, then: str = "", **wanted: str) -> dict[str, Any]:
        """Run a notebook with `code` after its parameters, and `then` and `wanted` at its end."""
        notebook = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
        if code:
            (place,) = [
                i
                for i, c in enumerate(notebook.cells)
                if "parameters" in c.metadata.get("tags", [])
            ]
            notebook.cells.insert(place + 1, nbformat.v4.new_code_cell(code))
        items = ", ".join(f"{key!r}: {value}" for key, value in wanted.items())
        ask = f"import json\n{then}\nprint(json.dumps({{{items}}}))"
        notebook.cells.append(nbformat.v4.new_code_cell(ask))
        client = NotebookClient(
            notebook,
            timeout=600,
            kernel_name="python3",
            resources={"metadata": {"path": str(folder)}},
        )
        client.execute()
        for cell in notebook.cells:
            for output in cell.get("outputs", []):
                assert output.get("name") != "stderr", f"{cell.id}: {output.text}"
        printed: str = notebook.cells[-1].outputs[-1].text
        return dict(json.loads(printed.splitlines()[-1]))

    return run
