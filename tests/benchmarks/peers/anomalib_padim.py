"""anomalib's PaDiM, EfficientNet-Lite0 at 256, through its own OpenVINO inferencer, from file to result.

Runs in an environment of its own; `compare.py` makes it. The backbone has random weights: times do not depend on them,
and verdicts are not asked for. Prints milliseconds a part as JSON, in its default precision and in float32.
"""

import json
import logging
import statistics
import sys
import tempfile
import time
from pathlib import Path

from anomalib.data import Folder
from anomalib.deploy import ExportType, OpenVINOInferencer
from anomalib.engine import Engine
from anomalib.models import Padim
from anomalib.pre_processing import PreProcessor
from torchvision.transforms.v2 import Compose, Normalize, Resize

LAYERS = ["blocks.1", "blocks.2", "blocks.4"]


def main(data: Path) -> None:
    """Train on train/good, export, judge test."""
    logging.disable(logging.WARNING)
    scale = Normalize(mean=[127 / 255] * 3, std=[128 / 255] * 3)
    transform = Compose([Resize((256, 256), antialias=True), scale])
    model = Padim(
        backbone="tf_efficientnet_lite0",
        layers=LAYERS,
        pre_trained=False,
        n_features=100,
        pre_processor=PreProcessor(transform=transform),
        visualizer=False,
    )
    defects = [str(folder) for folder in sorted((data / "test").iterdir()) if folder.name != "good"]
    images = Folder(
        name=data.name,
        normal_dir=str(data / "train" / "good"),
        abnormal_dir=defects,
        normal_test_dir=str(data / "test" / "good"),
        val_split_mode="same_as_test",
        train_batch_size=16,
        eval_batch_size=16,
        num_workers=0,
    )
    with tempfile.TemporaryDirectory() as name:
        engine = Engine(default_root_dir=name, accelerator="cpu", devices=1, logger=False, enable_progress_bar=False)
        engine.fit(model=model, datamodule=images)
        exported = engine.export(model=model, export_type=ExportType.OPENVINO, export_root=name)
        test = sorted((data / "test").rglob("*.jpg"))
        found = {kind: timed(Path(exported), test, config) for kind, config in CONFIGS.items()}
    sys.stdout.write("\n" + json.dumps({**found, "parts": len(test)}) + "\n")


CONFIGS = {"default": None, "f32": {"INFERENCE_PRECISION_HINT": "f32"}}


def timed(exported: Path, images: list[Path], config: dict[str, str] | None) -> float:
    """Return the median milliseconds from file to result; the first ones warm up."""
    inferencer = OpenVINOInferencer(path=exported, device="CPU", config=config)
    times = []
    for path in [*images[:5], *images]:
        started = time.perf_counter()
        inferencer.predict(path)
        times.append(1000 * (time.perf_counter() - started))
    return statistics.median(times[5:])


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
