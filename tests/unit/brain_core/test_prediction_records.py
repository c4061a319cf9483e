from dataclasses import fields

from brain_core.prediction_records import Outcome
from brain_core.tables import PredictionRow


def test_an_outcome_is_stored_in_columns_of_its_names():
    columns = set(PredictionRow.__table__.columns.keys())
    assert {field.name for field in fields(Outcome)} <= columns
