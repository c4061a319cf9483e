"""The frame of the report; tests/integration/test_dashboard_pages.py has the page."""

import html

from hypothesis import given
from hypothesis import strategies as st

from dashboard.views.drift import _sandboxed


@given(report=st.text())
def test_report_stays_inside_its_frame(report):
    framed = _sandboxed(report.encode("utf-8", "replace"))

    before, _, rest = framed.partition('srcdoc="')
    source, quote, after = rest.partition('"')
    assert quote
    assert html.unescape(source) == html.unescape(html.escape(report.encode("utf-8", "replace").decode()))
    assert (before.count("<iframe"), after) == (1, "></iframe></div>")


def test_report_cannot_reach_the_page():
    assert 'sandbox="allow-scripts"' in _sandboxed(b"<script>parent.document</script>")
