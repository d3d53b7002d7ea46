"""UTF-16 that no mark says."""

_WITHIN = 4096
_FEW = 64


def find_wide(data: bytes) -> str:
    """Its codec if every other byte of Latin letters, signs and spaces is zero; else nothing."""
    head = data[:_WITHIN]
    if b"\0" not in head:
        return ""
    even, odd = head[::2].count(0), head[1::2].count(0)
    # One zero among a few bytes is one, and no text in UTF-16.
    least = len(head) / (8 if len(head) >= _FEW else 3)
    if min(even, odd) > max(even, odd) / 10 or max(even, odd) < least:
        return ""
    return "utf-16-be" if even > odd else "utf-16-le"
