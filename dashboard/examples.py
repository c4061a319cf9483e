"""Images to try the page with, for readers who have none at hand: drawn by a program, they show nobody."""

from pathlib import Path

from dashboard.uploads import Upload

FOLDER = Path(__file__).parent / "examples"
EXAMPLES = {
    "meningioma.jpg": "Drawn meningioma",
    "pituitary.jpg": "Drawn, hard to tell",
    "no-tumour.jpg": "Drawn, no tumour",
    "landscape.jpg": "A landscape",
}
"""File to label. The slices have the indexes 41, 75 and 90 in the synthetic sample with seed 11."""


def example(file_name: str) -> Upload:
    """One of the `EXAMPLES`."""
    return Upload(EXAMPLES[file_name], (FOLDER / file_name).read_bytes())
