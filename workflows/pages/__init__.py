"""Recorded runs as pages that a person would send to a colleague."""
