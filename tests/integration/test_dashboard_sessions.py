"""Many readers at the running dashboard at once, against the real API, PostgreSQL and bucket."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing

from tests.fixtures_browser import running_pages
from tests.fixtures_bundle import slice_jpeg
from tests.fixtures_sessions import PageSession, new_browser

SESSIONS = 20
TABS_A_BROWSER = 4


def test_sessions_at_once_see_only_their_own_images(serving_settings, api_url, rows):
    images = [slice_jpeg(seed=number) for number in range(SESSIONS)]
    names = [f"mine-{number}.jpg" for number in range(SESSIONS)]
    with running_pages(serving_settings, api_url) as url, ExitStack() as stack:
        browsers = [stack.enter_context(closing(new_browser(url))) for _ in range(SESSIONS // TABS_A_BROWSER)]
        tabs = [
            stack.enter_context(closing(PageSession(url, browser)))
            for browser in browsers
            for _ in range(TABS_A_BROWSER)
        ]
        with ThreadPoolExecutor(SESSIONS) as readers:
            # To the end of each line, all of them do this at once.
            list(readers.map(PageSession.load, tabs))
            list(readers.map(lambda tab: tab.tick("I agree to this text"), tabs))
            list(readers.map(lambda tab, name, image: tab.upload("JPEG or PNG", name, image), tabs, names, images))

    stored = {str(one): digest for one, digest in rows("SELECT id, image_sha256 FROM prediction")}
    assert len(stored) == SESSIONS
    for tab, image in zip(tabs, images, strict=True):
        told = [code.code_text for code in tab.shown("code")]
        assert [stored[one] for one in told if one in stored] == [hashlib.sha256(image).hexdigest()]
