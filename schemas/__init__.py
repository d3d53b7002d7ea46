"""Promises: what each stage is configured by, what it takes and what it leaves."""
