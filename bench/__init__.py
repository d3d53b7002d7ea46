"""Side-by-side measurements against peers; figures to read, never tests."""
