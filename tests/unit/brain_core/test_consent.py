from datetime import UTC, datetime, timedelta

import pytest

from brain_core.consent import CONSENT_TEXTS, ConsentText, current_consent, require_consent
from brain_core.errors import ConsentMissing, ConsentOutdated
from brain_core.labels import CONSENT_TEXT, CONSENT_VERSION

NOW = datetime.now(UTC)
TEXTS = (
    ConsentText("expired", "…", valid_until=NOW - timedelta(days=1)),
    ConsentText("expiring", "…", valid_until=NOW + timedelta(days=1)),
    ConsentText("new", "…"),
)


@pytest.mark.parametrize("version", ["expiring", "new"])
def test_a_text_may_be_named_until_it_expires(version):
    assert require_consent(True, version, TEXTS).version == version


@pytest.mark.parametrize("version", ["expired", "unknown", "NEW"])
def test_an_expired_or_unknown_text_is_outdated_and_the_newest_is_named(version):
    with pytest.raises(ConsentOutdated, match="'new'"):
        require_consent(True, version, TEXTS)


@pytest.mark.parametrize(("is_given", "version"), [(False, "new"), (True, None), (True, ""), (False, None)])
def test_consent_needs_a_yes_and_a_version(is_given, version):
    with pytest.raises(ConsentMissing, match="consent_version=new") as caught:
        require_consent(is_given, version, TEXTS)
    assert not isinstance(caught.value, ConsentOutdated)


def test_the_current_text_is_the_one_on_the_page():
    assert current_consent() == ConsentText(CONSENT_VERSION, CONSENT_TEXT)
    assert len({text.version for text in CONSENT_TEXTS}) == len(CONSENT_TEXTS)
    assert current_consent().is_valid(NOW)
