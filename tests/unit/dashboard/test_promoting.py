import pytest

from dashboard.promoting import way_back
from tests.fixtures_admin import model_version, models

SEVEN, SIX, FIVE = model_version("7", is_champion=True), model_version("6"), model_version("5")


@pytest.mark.parametrize(
    ("versions", "former", "version"),
    [
        ([SEVEN, SIX, FIVE], ["6", "5"], "6"),
        ([SEVEN, FIVE], ["6", "5"], "5"),
        ([SEVEN, model_version("6", fault="damaged"), FIVE], ["6", "5"], "5"),
        ([SEVEN, SIX], ["7", "6"], "6"),
        ([SEVEN, SIX], [], None),
        ([SEVEN], ["6"], None),
    ],
)
def test_way_back_is_the_newest_former_champion_that_can_be_used(versions, former, version):
    found = way_back(models(*versions, former=former))

    assert (found and found.version) == version
