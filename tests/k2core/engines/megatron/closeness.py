"""When weights of the same training by another order of sums count as equal."""

from collections.abc import Mapping

from torch import Tensor


def assert_trained_alike(
    found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], lr: float, atol: float = 1e-6
) -> None:
    """All but one element in a thousand within `atol`, and those within a tenth of a step.

    AdamW makes a whole step of a gradient that is nothing but rounding, as a rare token's
    embedding has it.
    """
    assert found.keys() == wanted.keys()
    for name, tensor in wanted.items():
        apart = (found[name] - tensor).abs()
        assert (apart > atol).double().mean() < 1e-3, name
        assert float(apart.max()) < lr / 10, name
