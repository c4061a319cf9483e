"""Make the table of CT slices among the public images that the product carries.

    python bench/public_tomograms.py /path/to/data [--add NAME …]

The folder holds `brain-tumor-mri` (public layout). Made again are the rows of the files that the table names already,
and of those that are added: names that somebody has looked at and found to be CT. Prints one JSON line.
"""

import argparse
import json
import sys
from pathlib import Path

import pandas as pd

from brain_assets.ml.tomograms import PUBLIC_TOMOGRAMS_FILE, detail_hashes
from brain_core.descriptors import detail
from brain_core.imaging import decode


def main() -> int:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("data", type=Path)
    parser.add_argument("--add", nargs="*", default=[], metavar="NAME", help="file names, such as Te-no_0010.jpg")
    options = parser.parse_args()
    known = pd.read_parquet(PUBLIC_TOMOGRAMS_FILE)["name"].tolist() if PUBLIC_TOMOGRAMS_FILE.is_file() else []
    names = sorted({*known, *options.add})
    files = {path.name: path for path in (options.data.resolve() / "brain-tumor-mri").rglob("*.jp*g")}
    if missing := [name for name in names if name not in files]:
        sys.exit(f"{options.data} holds no {', '.join(missing)}. Name files of brain-tumor-mri.")
    details = [detail(decode(files[name].read_bytes()).grey).tobytes() for name in names]
    hashes = detail_hashes(pd.DataFrame({"detail": details}))
    table = pd.DataFrame({"name": names, "hash": [row.tobytes() for row in hashes]})
    table.to_parquet(PUBLIC_TOMOGRAMS_FILE, compression="zstd", index=False)
    print(json.dumps({"images": len(table), "bytes": PUBLIC_TOMOGRAMS_FILE.stat().st_size}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
