"""What the feature detectors compute is what their formulas say, checked with plain numpy."""

import itertools

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from edge_inspector.detectors import svdd
from edge_inspector.detectors.centroid import TrainedCentroid
from edge_inspector.detectors.feature_cae import TrainedFeatureCae, autoencoder
from edge_inspector.detectors.features.features import CellResidual
from edge_inspector.detectors.padim import TrainedPadim, TrainedPca
from edge_inspector.detectors.patchcore import Memory, TrainedPatchcore, coreset
from edge_inspector.detectors.settings import (
    CentroidSettings,
    FeatureCaeSettings,
    PadimSettings,
    PatchcoreSettings,
    PcaSettings,
    SvddSettings,
)
from edge_inspector.detectors.svdd import TrainedSvdd
from edge_inspector.detectors.training_data import Budget, Deployed, TrainingData
from edge_inspector.errors import DataError

COUNT, CHANNELS, ROWS, COLUMNS = 24, 6, 3, 4
FEATURES = np.random.default_rng(0).standard_normal((COUNT, CHANNELS, ROWS, COLUMNS)).astype(np.float32)
NEW = np.random.default_rng(1).standard_normal((1, CHANNELS, ROWS, COLUMNS)).astype(np.float32)


def training_data(**changes: object) -> TrainingData:
    """Return a lesson whose images only name the place of their features."""
    images = np.arange(COUNT, dtype=np.uint8).reshape(-1, 1, 1, 1)
    known = {
        "fit": images[:16],
        "tune": images[16:],
        "synthetic": images[16:],
        "corrupt": lambda found, _rng: found,
        "augment": lambda found, _rng: found,
        "levels": lambda maps: [float(amap.max()) for amap in maps],
        "budget": Budget(5, None),
        "seed": 0,
        "report": lambda _progress: None,
        "clock": map(float, itertools.count()).__next__,
    }
    return TrainingData(**(known | changes))  # type: ignore[arg-type]


def deployed_from(features: NDArray[np.float32]) -> Deployed:
    """Return a network that gives these features for the images of `training_data`."""
    return lambda images: (features[int(image[0, 0, 0])][None] for image in images)


def distance(graph: torch.nn.Module, features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the distances of cells, (rows, columns)."""
    assert isinstance(graph, CellResidual)
    with torch.no_grad():
        return graph.distance(torch.from_numpy(features))[0, 0].numpy()


def test_padim_is_the_mahalanobis_distance() -> None:
    """Against scipy's formula cell by cell, with the ridge that it says."""
    settings = PadimSettings(regularisation=0.05)
    graph = TrainedPadim(torch.nn.Identity(), settings, training_data()).residual(deployed_from(FEATURES)).graph

    ridge = 0.05 * FEATURES.var(0).mean()
    found = distance(graph, NEW)
    for row, column in itertools.product(range(ROWS), range(COLUMNS)):
        values = FEATURES[:, :, row, column].astype(np.float64)
        covariance = np.cov(values.T) + ridge * np.eye(CHANNELS)
        offset = NEW[0, :, row, column] - values.mean(0)
        assert found[row, column] == pytest.approx(np.sqrt(offset @ np.linalg.inv(covariance) @ offset), rel=1e-4)


def test_pca_leaves_what_components_do_not_explain() -> None:
    """scikit-learn's PCA is the oracle."""
    graph = (
        TrainedPca(torch.nn.Identity(), PcaSettings(components=3), training_data())
        .residual(deployed_from(FEATURES))
        .graph
    )

    found = distance(graph, NEW)
    for row, column in itertools.product(range(ROWS), range(COLUMNS)):
        pca = PCA(3).fit(FEATURES[:, :, row, column])
        value = NEW[:, :, row, column]
        left = value - pca.inverse_transform(pca.transform(value))
        assert found[row, column] == pytest.approx(np.linalg.norm(left), rel=1e-3)


def test_the_memory_gives_the_nearest_distance() -> None:
    """Exact search: brute force is the oracle; with neighbours, less where many are as near."""
    memory = np.random.default_rng(2).standard_normal((30, CHANNELS)).astype(np.float32)
    ones = np.ones(CHANNELS, np.float32)
    cells = NEW[0].reshape(CHANNELS, -1).T
    every = np.sort(np.linalg.norm(cells[:, None] - memory, axis=2), axis=1)

    assert distance(Memory(0, memory, ones, 1), NEW).ravel() == pytest.approx(every[:, 0], rel=1e-4)
    weights = 1 - np.exp(every[:, 0]) / np.exp(every[:, :4]).sum(1)
    assert distance(Memory(0, memory, ones, 4), NEW).ravel() == pytest.approx(every[:, 0] * weights, rel=1e-3)


def test_a_coreset_covers_what_chance_would_miss() -> None:
    """Ten thousand features in a heap and three far off: all three are remembered."""
    rng = np.random.default_rng(0)
    features = np.concatenate([rng.standard_normal((1000, 8)), 40 + rng.standard_normal((3, 8))]).astype(np.float32)

    chosen = coreset(features, 20, rng)

    assert len(set(chosen.tolist())) == 20
    assert {1000, 1001, 1002} & set(chosen.tolist())
    nearest = np.linalg.norm(features[:, None] - features[chosen], axis=2).min(1)
    assert nearest.max() < 10


def test_patchcore_remembers_good_parts() -> None:
    """What it was trained is at no distance; the memory is no larger than was asked."""
    settings = PatchcoreSettings(memory=COUNT * ROWS * COLUMNS, neighbours=1)
    graph = TrainedPatchcore(torch.nn.Identity(), settings, training_data()).residual(deployed_from(FEATURES)).graph

    assert distance(graph, FEATURES[:1]).max() < 0.01
    assert distance(graph, NEW + 5).min() > 1
    small = TrainedPatchcore(torch.nn.Identity(), PatchcoreSettings(memory=10), training_data())
    assert small.residual(deployed_from(FEATURES)).graph.state_dict()["memory"].shape == (10, CHANNELS)


def test_the_centroid_is_the_mean_at_each_place() -> None:
    """Plain Euclid."""
    graph = (
        TrainedCentroid(torch.nn.Identity(), CentroidSettings(), training_data())
        .residual(deployed_from(FEATURES))
        .graph
    )

    assert distance(graph, NEW) == pytest.approx(np.linalg.norm(NEW[0] - FEATURES.mean(0), axis=0), rel=1e-4)


def test_the_feature_autoencoder_is_system_000_s() -> None:
    """550,892 parameters for ResNet-50's second level, as the reference counts them: BN = 2 that are trained."""
    assert sum(parameter.numel() for parameter in autoencoder(512, 100).parameters()) == 550_892


@pytest.mark.parametrize("trained", [TrainedFeatureCae, TrainedSvdd])
def test_what_is_trained_on_features_finds_strange_ones(trained: type[TrainedFeatureCae] | type[TrainedSvdd]) -> None:
    """Good parts lie on a plane; what is off it is far, and the training says its steps."""
    rng = np.random.default_rng(3)
    plane = np.einsum(
        "nkrc,kd->ndrc", rng.standard_normal((COUNT, 2, ROWS, COLUMNS)), rng.standard_normal((2, CHANNELS))
    )
    good = (plane + 0.01 * rng.standard_normal(plane.shape)).astype(np.float32)
    data = training_data(budget=Budget(150, None))
    settings = FeatureCaeSettings(latent=2, rate=0.01) if trained is TrainedFeatureCae else SvddSettings(latent=4)

    fitted = trained(torch.nn.Identity(), settings, data).residual(deployed_from(good))  # type: ignore[arg-type]

    assert fitted.steps == 150
    assert distance(fitted.graph, good[:1] + 4).mean() > 2 * distance(fitted.graph, good[:1]).mean()


def test_a_collapsed_sphere_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """When training has brought every feature to one point, no part looks strange any more."""

    def collapse(network: torch.nn.Module, *_rest: object) -> int:
        for parameter in network.parameters():
            parameter.data.zero_()
        return 1

    monkeypatch.setattr(svdd, "train_on_cells", collapse)
    with pytest.raises(DataError, match="sphere collapsed"):
        TrainedSvdd(torch.nn.Identity(), SvddSettings(), training_data()).residual(deployed_from(FEATURES))


@pytest.mark.parametrize(
    ("features", "words"),
    [(np.full_like(FEATURES, np.nan), "not numbers"), (np.ones_like(FEATURES), "no difference")],
    ids=["no numbers", "all equal"],
)
def test_a_backbone_that_sees_nothing_is_refused(features: NDArray[np.float32], words: str) -> None:
    """Before anything is fitted on it."""
    with pytest.raises(DataError, match=words):
        TrainedCentroid(torch.nn.Identity(), CentroidSettings(), training_data()).residual(deployed_from(features))
