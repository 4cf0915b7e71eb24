"""How organisms are trained: many small nets side by side, one for every seed."""
