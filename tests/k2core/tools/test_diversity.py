import numpy as np
import pytest

from k2core.tools.diversity import (
    NEAR,
    draw_map,
    drop_near,
    embed_tools,
    find_nearest,
    fit_tsne,
    measure_spread,
    nearest_distances,
)
from schemas.chat import ToolSpec


def spec(name: str, text: str, *arguments: str) -> ToolSpec:
    properties = {argument: {"type": "string"} for argument in arguments}
    return ToolSpec(name=name, description=text, parameters={"properties": properties})


SPECS = [
    spec("send_mail", "Send a mail to a person.", "to", "text"),
    spec("sendMail", "Send a mail to a person.", "to", "text"),
    spec("count_ships", "How many ships lie in the harbour.", "harbour"),
    spec("plot_curve", "Draw a curve over an interval.", "curve", "low", "high"),
]


def test_likeness_goes_by_words_and_not_by_conventions() -> None:
    vectors = embed_tools(SPECS)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1)
    cosines = vectors @ vectors.T
    assert cosines[0, 1] == pytest.approx(1, abs=1e-5)
    assert np.abs(cosines[2, [0, 1, 3]]).max() < 0.3


def test_spread_counts_near_duplicates_and_never_a_tool_itself() -> None:
    spread = measure_spread(embed_tools(SPECS))
    assert spread.num_sampled == 4
    assert spread.near_frac == 0.5
    assert measure_spread(embed_tools(SPECS[1:])).near_frac == 0
    with pytest.raises(ValueError, match="cannot be held against"):
        measure_spread(embed_tools(SPECS[:1]))


def test_the_nearest_of_another_set() -> None:
    vectors = embed_tools(SPECS)
    nearest = find_nearest(vectors[:1], vectors[1:], 10, 0, same=False)
    assert nearest[0] == pytest.approx(1, abs=1e-5)


def test_what_is_left_has_no_near_duplicates_and_stands_for_the_rest() -> None:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(300, 64))
    vectors = np.concatenate([centres + rng.normal(0, 0.05, centres.shape) for _ in range(3)])
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    vectors = vectors[rng.permutation(len(vectors))]
    left = drop_near(vectors)
    assert len(left) == 300
    assert (np.diff(left) > 0).all()
    cosines = vectors[left] @ vectors[left].T
    assert (cosines - 2 * np.eye(len(left))).max() < NEAR
    dropped = np.setdiff1d(np.arange(len(vectors)), left)
    assert (vectors[dropped] @ vectors[left].T).max(axis=1).min() >= NEAR
    assert len(drop_near(embed_tools(SPECS))) == 3


def test_distances_are_within_and_between_groups() -> None:
    vectors = embed_tools(SPECS)
    found = nearest_distances({"a": vectors[:2], "b": vectors[2:]}, 10, 0)
    assert found.keys() == {"among a", "a to b", "b to a", "among b"}
    assert found["among a"] == pytest.approx([0, 0], abs=1e-5)
    assert found["a to b"].min() > 0.7


def test_tsne_keeps_clusters_apart_and_replays() -> None:
    rng = np.random.default_rng(0)
    centres = np.repeat(np.eye(3, 20), 30, axis=0)
    vectors = (centres + rng.normal(0, 0.05, centres.shape)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    plane = fit_tsne(vectors, seed=0, perplexity=10)
    labels = np.repeat(np.arange(3), 30)
    gaps = np.linalg.norm(plane[:, None] - plane[None], axis=2)
    np.fill_diagonal(gaps, np.inf)
    assert (labels[gaps.argmin(axis=1)] == labels).mean() > 0.97
    assert np.array_equal(plane, fit_tsne(vectors, seed=0, perplexity=10))
    assert draw_map({"a": vectors, "b": vectors[:40]}, per_group=30).axes
