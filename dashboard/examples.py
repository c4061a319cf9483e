"""Images to try the page with, for readers who have none at hand: drawn by a program, they show nobody."""

from pathlib import Path

from dashboard.uploads import Upload

FOLDER = Path(__file__).parent / "examples"
EXAMPLES = {
    "meningioma.jpg": "Drawn slice with a meningioma",
    "pituitary.jpg": "Drawn slice, hard to tell",
    "no-tumour.jpg": "Drawn slice without a tumour",
    "landscape.jpg": "Something else",
}
"""File to label. The slices are number 42, 76 and 91 of the synthetic sample with seed 11."""


def example(file_name: str) -> Upload:
    """One of the `EXAMPLES`."""
    return Upload(EXAMPLES[file_name], (FOLDER / file_name).read_bytes())
