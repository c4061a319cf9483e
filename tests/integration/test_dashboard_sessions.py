"""Many readers at the running dashboard at once, against the real API, PostgreSQL and bucket."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from threading import Barrier

from tests.fixtures_browser import running_pages
from tests.fixtures_bundle import slice_jpeg
from tests.fixtures_sessions import PageSession, new_browser

SESSIONS = 20
TABS_A_BROWSER = 4


def test_sessions_at_once_see_only_their_own_images(serving_settings, api_url, rows):
    images = [slice_jpeg(seed=number) for number in range(SESSIONS)]
    together = Barrier(SESSIONS)

    def visit(number: int) -> PageSession:
        together.wait()
        with PageSession(url, browsers[number // TABS_A_BROWSER]) as session:
            session.tick("I agree to this text")
            together.wait()
            session.upload("JPEG or PNG", f"mine-{number}.jpg", images[number])
            return session

    with running_pages(serving_settings, api_url) as url, ExitStack() as stack:
        browsers = [stack.enter_context(closing(new_browser(url))) for _ in range(SESSIONS // TABS_A_BROWSER)]
        with ThreadPoolExecutor(SESSIONS) as readers:
            sessions = list(readers.map(visit, range(SESSIONS)))

    stored = {str(one): digest for one, digest in rows("SELECT id, image_sha256 FROM prediction")}
    assert len(stored) == SESSIONS
    for session, image in zip(sessions, images, strict=True):
        mine = [code.code_text for code in session.shown("code")]
        assert [stored[known_by] for known_by in mine if known_by in stored] == [hashlib.sha256(image).hexdigest()]
