"""The notebook's outputs: `python -m tests.house.notebook` runs it and stores them, and a test compares."""

import ast
import base64
import io
import json
from contextlib import redirect_stdout
from pathlib import Path

from PIL import Image

NOTEBOOK = Path(__file__).parents[2] / "docs" / "norms-by-hand.ipynb"


def run(cells):
    """Run the code cells in order; gives the names that they define, and the outputs of each as a notebook stores them."""
    names, found = {"__name__": "notebook"}, []
    for number, cell in enumerate((cell for cell in cells if cell["cell_type"] == "code"), start=1):
        tree = ast.parse("".join(cell["source"]))
        last = ast.Expression(tree.body.pop().value) if isinstance(tree.body[-1], ast.Expr) else None
        with redirect_stdout(io.StringIO()) as said:
            exec(compile(tree, cell["id"], "exec"), names)
            value = eval(compile(last, cell["id"], "eval"), names) if last else None
        outputs = []
        if said.getvalue():
            outputs.append({"output_type": "stream", "name": "stdout", "text": said.getvalue().splitlines(keepends=True)})
        if value is not None:
            outputs.append({"output_type": "execute_result", "execution_count": number, "metadata": {}, "data": _shown(value)})
        found.append(outputs)
    return names, found


def _shown(value):
    if not isinstance(value, Image.Image):
        return {"text/plain": [repr(value)]}
    content = io.BytesIO()
    value.quantize(64).save(content, "PNG", optimize=True)
    return {"image/png": base64.b64encode(content.getvalue()).decode()}


def main():
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    _, outputs = run(notebook["cells"])
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    for number, (cell, found) in enumerate(zip(code, outputs, strict=True), start=1):
        cell |= {"execution_count": number, "outputs": found}
    NOTEBOOK.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
