import pytest

from brain_core.database import open_engine
from brain_core.erasures import ErasureStore
from brain_core.errors import DatabaseError
from brain_core.predictions import PredictionStore
from tests.integration.test_predictions import TOKEN, new_prediction


def test_an_erasure_waits_until_it_is_settled(database_url):
    engine = open_engine(database_url)
    predictions, erasures = PredictionStore(engine), ErasureStore(engine)
    made = [new_prediction() for _ in range(2)]
    for new in made:
        predictions.save(new)
        predictions.erase(new.id, TOKEN)
    assert erasures.unpurged() == [new.id for new in made]
    erasures.settle([made[0].id])
    assert erasures.unpurged() == [made[1].id]
    erasures.settle([])
    engine.dispose()


def test_a_database_that_is_away_is_an_error_of_ours(tmp_path):
    with pytest.raises(DatabaseError):
        ErasureStore(open_engine(f"postgresql+psycopg2://postgres@/brain?host={tmp_path}")).unpurged()
