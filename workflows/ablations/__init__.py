"""Experiments of the reports in miniature: what a choice of the recipe is worth.

They are workflows, not work: an experiment holds stages and their parts against one another, which
stages themselves may not do.
"""
