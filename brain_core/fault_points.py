"""Named places at which a test lets a process die, to see what a crash there leaves behind.

Code that must survive a crash calls `reached("name")` between its steps. In the product that does nothing; a test gives
a function that ends the process at one name.
"""

from collections.abc import Callable

FaultPoint = Callable[[str], None]
"""Is called with the name of the step that has just been done."""


def pass_by(_: str) -> None:
    """Go on: what the product does at every fault point."""
