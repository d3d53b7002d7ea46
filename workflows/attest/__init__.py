"""Signed attestations of a release, in public formats that a stranger's tools verify."""
