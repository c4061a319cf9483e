"""A worker ends with the process that started it, however that one ended."""

import multiprocessing
import os
import signal
import threading


def end_with_parent() -> None:
    """Stop this process as SIGTERM does once its parent is gone; nothing to do in a process without one.

    A parent that is killed (SIGKILL, out of memory) can tell its workers nothing: they would go on answering on a port
    that nobody watches, and the next start would fail.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def wait() -> None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="parent-watch", daemon=True).start()
