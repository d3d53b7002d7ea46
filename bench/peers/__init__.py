"""Peers as they are run beside ours, in virtual environments of their own."""
