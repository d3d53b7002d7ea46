"""What keeps a checkpoint from being brought."""


class AdoptError(ValueError):
    """A source that is no checkpoint of K2's architecture, or is broken; says how."""
