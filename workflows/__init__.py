"""The chain, its recipes and its command."""
