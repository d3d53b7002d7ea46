"""Scorers that run in a zygote of their own, by their source: they import nothing of ours."""
