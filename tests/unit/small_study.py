"""The text of a study to which tests add what they are about."""

GOOD = """\
name: small
task: {kind: prefix_sums, bits: 5}
model: {kind: recall_conv, width: 8}
scheduler: {kind: annealing, axis: rollouts, budget: max}
"""
