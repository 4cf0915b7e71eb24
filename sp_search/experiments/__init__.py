"""Experiments: what is measured for the claims, each with its numbers and intervals."""
