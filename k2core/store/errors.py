"""What can be wrong with a store; each message says what would be right."""


class ArtifactMissingError(LookupError):
    """A digest that this store does not hold."""


class ArtifactCorruptError(ValueError):
    """Bytes that no longer match their digest."""


class LeaseLostError(RuntimeError):
    """Another process has taken over the work that this one held."""
