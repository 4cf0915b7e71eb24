"""The figures that the project quotes: one command each, seeds and intervals in the output, failures shown.

`python -m benchmarks.NAME` (or `make figures FIGURES=NAME`) writes its rows to `benchmarks/results/`; what they say is in
`docs/figures.md`. `seeds`, `lineages` and `programs` are what the others share.
"""
