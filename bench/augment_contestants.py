"""One way to augment images, as a process that measures itself when it is told to: see `augment.py`.

    python bench/augment_contestants.py ours|keras|albumentations images.npy

Writes `ready`, then for each line that it reads the seconds of wall time and of processor time that all images took.
Imports nothing of the other ways, so that each runs in an environment of its own.
"""

import os
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

ROTATION_DEGREES = 10.0
SHIFT_SHARE = 0.05
SHEAR_DEGREES = 10.0
ZOOM_SHARE = 0.1
KERAS_BATCH = 64


def main() -> None:
    """Warm up, then measure on demand."""
    name, path = sys.argv[1:]
    run = {"ours": ours, "keras": by_keras, "albumentations": by_albumentations}[name](np.load(path))
    run()
    print("ready", flush=True)
    for _ in sys.stdin:
        wall, processor = time.perf_counter(), time.process_time()
        run()
        print(time.perf_counter() - wall, time.process_time() - processor, flush=True)


def pin_to_one_core() -> None:
    """Stay on one core, where the system can promise that."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def ours(images: Any) -> Callable[[], Any]:
    """All of `augment`, one thread: hashes of the originals, draws, boxes, pixels."""
    from brain_assets.ml import ingestion
    from brain_assets.ml.augmentation import AugmentationConfig, augment

    pin_to_one_core()
    ingestion.THREADS = 1
    config = AugmentationConfig(
        rotation_degrees=ROTATION_DEGREES,
        shift_share=SHIFT_SHARE,
        shear_degrees=SHEAR_DEGREES,
        zoom_share=ZOOM_SHARE,
    )
    boxes = np.tile(np.array([0.3, 0.3, 0.6, 0.6], np.float32), (len(images), 1))
    return lambda: augment(images, config, boxes).images[len(images) :]


def by_keras(images: Any) -> Callable[[], Any]:
    """Keras' preprocessing layers on TensorFlow, compiled, one thread."""
    import tensorflow as tf

    pin_to_one_core()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    import keras

    layers = keras.layers
    steps = [
        layers.RandomRotation(ROTATION_DEGREES / 360, fill_mode="nearest"),
        layers.RandomTranslation(SHIFT_SHARE, SHIFT_SHARE, fill_mode="nearest"),
        layers.RandomShear(x_factor=float(np.tan(np.deg2rad(SHEAR_DEGREES))), fill_mode="nearest"),
        layers.RandomZoom(ZOOM_SHARE, fill_mode="nearest"),
        layers.RandomFlip("horizontal"),
    ]

    @tf.function  # type: ignore[untyped-decorator, unused-ignore]
    def altered(batch: Any) -> Any:
        for step in steps:
            batch = step(batch, training=True)
        return tf.cast(tf.round(batch), tf.uint8)

    def run() -> None:
        for start in range(0, len(images), KERAS_BATCH):
            altered(tf.constant(images[start : start + KERAS_BATCH])).numpy()

    return run


def by_albumentations(images: Any) -> Callable[[], Any]:
    """Albumentations: one affine warp and a flip by OpenCV, one thread."""
    import albumentations as A
    import cv2

    pin_to_one_core()
    cv2.setNumThreads(1)
    change = A.Compose(
        [
            A.Affine(
                rotate=(-ROTATION_DEGREES, ROTATION_DEGREES),
                translate_percent=(-SHIFT_SHARE, SHIFT_SHARE),
                shear={"x": (-SHEAR_DEGREES, SHEAR_DEGREES), "y": 0},
                scale=(1 - ZOOM_SHARE, 1 + ZOOM_SHARE),
                border_mode=cv2.BORDER_REPLICATE,
                p=1,
            ),
            A.HorizontalFlip(p=0.5),
        ]
    )

    def run() -> None:
        for image in images[..., 0]:
            change(image=image)["image"]

    return run


if __name__ == "__main__":
    main()
