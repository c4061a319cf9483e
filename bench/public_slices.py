"""Make the table of public slices again that the product carries (`brain_assets/ml/public_slices.parquet`).

    python bench/public_slices.py /path/to/data

The folder holds `brain-tumor-mri` (public layout) and `annotations.csv` with `figshare_slice` and `patient`.
Prints how many slices, patients and bytes, then one JSON line. No pixels and no boxes go into the table.
"""

import argparse
import json
import sys
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table

from brain_assets.ml.annotations import annotate, read_annotations
from brain_assets.ml.patients import PUBLIC_SLICES_FILE, public_slices
from brain_core.descriptors import thumbnail
from brain_core.imaging import decode


def main() -> int:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("data", type=Path)
    data = parser.parse_args().data.resolve()
    slices = public_slices(*known_images(data))
    slices.to_parquet(PUBLIC_SLICES_FILE, compression="zstd", compression_level=19, index=False)
    figures = {
        "images": len(slices),
        "slices": int(slices["slice"].nunique()),
        "patients": int(slices["patient"].nunique()),
        "bytes": PUBLIC_SLICES_FILE.stat().st_size,
    }
    table = Table("figure", "value")
    for name, value in figures.items():
        table.add_row(name, str(value))
    Console().print(table)
    print(json.dumps(figures))
    return 0


def known_images(data: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Annotations and thumbnails of the images whose slice and patient are known."""
    root = data / "brain-tumor-mri"
    paths = [path.relative_to(root).as_posix() for path in sorted(root.rglob("*.jp*g"))]
    manifest = pd.DataFrame({"key": paths, "path": paths, "sha256": ""})
    annotations = annotate(manifest, read_annotations((data / "annotations.csv").read_bytes())).table
    known = annotations.dropna(subset=["slice", "patient"])[["key", "slice", "patient"]]
    thumbnails = [thumbnail(decode((root / key).read_bytes()).grey).tobytes() for key in known["key"]]
    return known, pd.DataFrame({"key": known["key"].to_numpy(), "thumbnail": thumbnails})


if __name__ == "__main__":
    sys.exit(main())
