"""The words of an export: its card, and the example that runs it."""

from __future__ import annotations

from typing import Any

from sp_search.program import Program
from sp_search.tasks.base import Shape
from sp_search.train.export import facts_table

FORM_WORDS = {
    "plain": "it answers every input at exit {exit} and has nothing to stop early",
    "stopping": "the program itself: an input that has halted is not computed any further",
    "fixed": "it answers every input at exit {exit} and cannot stop early: a graph runs the same on every input",
    "masked": "it computes all exits and answers each input at the exit where the program halts; it cannot stop early, "
    "so the answers are the program's and nothing is saved",
}
_BEGIN = '''"""Answers the inputs of examples.json, and compares with the program's answers. It needs {needs} alone."""

import json
from pathlib import Path

{imports}

folder = Path(__file__).parent
given = json.loads((folder / "examples.json").read_text())
'''
_END = """difference = float(abs(logits - right).max())
print(f"answers {logits.argmax(-1).tolist()}, largest difference of a logit {difference:.2g}")
assert (logits.argmax(-1) == right.argmax(-1)).all(), "other answers than the program's"
if "exit" in given:
    assert exits[0].tolist() == given["exit"], "other exits than the program's"
"""
_TORCH = 'x, right = (torch.tensor(given[name]) for name in ("x", "logits"))  # float32 (batch, positions, channels)\n'
_PT2 = 'with torch.no_grad():\n    logits, *exits = torch.export.load(folder / "program.pt2").module()(x)\n'
_LOADED = "logits, *exits = load(folder).run(x)\n"
_ONNX = """x, right = (np.array(given[name], np.float32) for name in ("x", "logits"))  # (batch, positions, channels)
session = onnxruntime.InferenceSession(folder / "program.onnx", providers=["CPUExecutionProvider"])
logits, *exits = session.run(None, {"x": x})
"""
EXAMPLES = {
    "safetensors": _BEGIN.format(needs="torch and safetensors", imports="import torch\nfrom load import load")
    + (_TORCH + _LOADED + _END),
    "pt2": _BEGIN.format(needs="torch", imports="import torch") + _TORCH + _PT2 + _END,
    "onnx": _BEGIN.format(needs="onnxruntime and numpy", imports="import numpy as np\nimport onnxruntime")
    + (_ONNX + _END),
}


def card(program: Program, facts: dict[str, Any], said: dict[str, Any], costs: dict[str, Any]) -> str:
    """Return `card.md`: what the export is, what it costs and cannot do, how it was checked, the program's facts."""
    shape, check, same = Shape(**program.model.origin["shape"]), said["check"], said["as_the_stopping_program"]
    outputs = "`logits`" if said["form"] == "fixed" else "`logits` and `exit` (batch,), where each input stopped"
    words = f"{said['form_words'][0].upper()}{said['form_words'][1:]}"
    own, mean = said["costs"]["flops_per_example"], costs["mean_flops_of_the_program"]
    spent = f"{own:,.0f} FLOPs per example" + (
        "" if own == mean else f"; the program that stops spends {mean:,.0f} on average"
    )
    at = "" if said["exit"] is None else f" at exit {said['exit']}"
    note = "" if same is None else f" The program that stops gives the same answer to {same:.2%} of them."
    exits = "\n".join(
        f"| {one['exit']} | {one['flops_per_example']:,.0f} | {one['share_of_inputs']:.1%} |" for one in costs["exits"]
    )
    return f"""# A program found by sp_search, as {said["format"]}

`{said["file"]}` reads `x`, float32 (batch, {shape.positions}, {shape.channels}) of any batch, and gives {outputs};
logits are (batch, {shape.answers}, {shape.classes}).

- {words}.
- It computes {spent}.
- Checked on {check["n"]:,} fresh inputs: it gives the program's answer{at} to every one, and its logits differ by at
  most {check["largest_difference"]:.2g}.{note}

```sh
python example.py    # needs {said["needs"]} alone
```

| exit | FLOPs per example | inputs that stop there |
|---|---|---|
{exits}

| fact | value |
|---|---|
{facts_table(program, facts)}
"""
