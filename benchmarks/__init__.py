"""The figures that the project quotes: one command each, seeds and intervals in the output, failures shown.

`python -m benchmarks.NAME` (or `make figures FIGURES=NAME`) writes its rows to `benchmarks/results/`; `docs/figures.md`
says what they say. `seeds`, `lineages` and `programs` are what the others share.
"""
