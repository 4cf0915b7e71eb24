"""The figures that the project quotes: one command each, seeds and intervals in the output, failures shown.

`python -m benchmarks.quickstart`, `.prefix_growth`, `.longer`, `.addition`, `.predictor`, `.u_curve`, `.overhead`; each
writes its rows to `benchmarks/results/`.
"""
