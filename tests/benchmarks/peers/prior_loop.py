"""The prior system's loop, rebuilt from its description: Keras, row-wise SSIM, four PNGs, base64 at QoS 0.

Runs in an environment of its own (TensorFlow); `compare.py` makes it. Prints milliseconds a part as JSON.
"""

import base64
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import cv2
import matplotlib as mpl
import numpy as np
import paho.mqtt.client as mqtt
from keras import layers, models
from skimage.exposure import histogram
from skimage.metrics import structural_similarity

mpl.use("Agg")
import matplotlib.pyplot as plt

SIDE = 256
AREA = 85
PARAMETERS = 139_329


def my_cae() -> models.Model:
    """Return its smaller network, grey, 256 x 256."""
    inputs = values = layers.Input((SIDE, SIDE, 1))
    for step in (layers.MaxPooling2D, layers.UpSampling2D):
        for _ in range(4):
            for _ in range(2):
                values = layers.Conv2D(32, 3, padding="same", activation="relu")(values)
            values = step(2)(values)
    outputs = layers.Conv2D(1, 3, padding="same", activation="sigmoid")(values)
    network = models.Model(inputs, outputs)
    assert network.count_params() == PARAMETERS, network.count_params()
    return network


def decide(image: np.ndarray, restored: np.ndarray) -> tuple[bool, np.ndarray, np.ndarray]:
    """Return whether its rule rejects the part, its residual and its mask."""
    residual = np.empty_like(image)
    for row in range(SIDE):
        _, rows = structural_similarity(
            image[row], restored[row], win_size=11, gaussian_weights=True, sigma=1.5, full=True, data_range=2
        )
        residual[row] = np.clip(1 - rows, -1, 1)
    blurred = 255 * cv2.GaussianBlur(residual, (5, 5), 0)
    limit = 2 / 3 * histogram(blurred, nbins=256)[1][-1]
    mask = (255 * (blurred > limit)).astype(np.uint8)
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return max((cv2.contourArea(one) for one in contours), default=0.0) >= AREA, residual, mask


def main(folder: Path, port: int) -> None:
    """Judge each image as its main program does; loading them is not counted, as there."""
    images = [
        cv2.resize(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), (SIDE, SIDE)).astype(np.float32) / 255
        for path in sorted(folder.rglob("*.jpg"))
    ]
    network = my_cae()
    network.predict(images[0][None, ..., None], verbose=0)
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", port)
    client.loop_start()
    times: list[float] = []
    rejected = 0
    with tempfile.TemporaryDirectory() as name:
        for number, image in enumerate(images, 1):
            started = time.perf_counter()
            restored = network.predict(image[None, ..., None], verbose=0)[0, ..., 0]
            is_bad, residual, mask = decide(image, restored)
            rejected += is_bad
            client.publish("prior/result", "NOK" if is_bad else "OK")
            for topic, shown in (("input", image), ("decoded", restored), ("loss", residual), ("defect", mask)):
                file = Path(name) / f"{topic}.png"
                plt.imsave(file, shown, cmap="gray")
                client.publish(f"prior/{topic}_image", base64.b64encode(file.read_bytes()))
            counts = (round(100 * rejected / number), number, number - rejected, rejected)
            for topic, value in zip(("percentage", "total", "ok", "defect"), counts, strict=True):
                client.publish(f"prior/{topic}", str(value))
            times.append(1000 * (time.perf_counter() - started))
    client.loop_stop()
    client.disconnect()
    json.dump({"ms": statistics.median(times), "parts": len(times)}, sys.stdout)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
