"""Experiments of the reports in miniature: what a choice of the recipe is worth."""
