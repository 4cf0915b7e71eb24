"""Small studies, as text and as content, to which tests add what they are about."""

GOOD = """\
name: small
task: {kind: prefix_sums, bits: 5}
model: {kind: recall_conv, width: 8}
scheduler: {kind: annealing, axis: rollouts, budget: max}
"""
TINY = {
    "name": "tiny",
    "task": {"kind": "prefix_sums", "bits": 5},
    "model": {"kind": "recall_conv", "width": 8},
    "scheduler": {"kind": "annealing", "stop": 4},
    "population": {"members": [{"width": 8}, {"width": 4}], "replicas": 2},
    "verdict": {"false_negative": 0.3},
    "train": {"steps": 40, "evaluate_every": 4},
    "milestones": [0.9],
    "tracking": {"uri": None},
}
