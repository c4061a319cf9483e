from brain_core.labels import CLASSES, CONSENT_TEXT, CONSENT_VERSION, NOTICE, TumourClass


def test_the_order_of_the_classes_is_that_of_every_probability_vector():
    assert CLASSES == ("glioma", "meningioma", "notumor", "pituitary")
    assert [member.value for member in TumourClass] == list(CLASSES)


def test_the_notice_and_the_consent_say_what_they_must():
    assert "never use it for diagnosis" in NOTICE
    assert "erase" in CONSENT_TEXT
    assert CONSENT_VERSION
