from tests.k2core.rephrase.conftest import rephraser

__all__ = ["rephraser"]
