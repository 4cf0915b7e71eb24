"""The claims of the argument for speed priors: what was said, what was measured, what came of it."""
