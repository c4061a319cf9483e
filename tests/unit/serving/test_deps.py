import threading

from brain_core.database import open_engine
from brain_core.settings import Settings
from serving.deps import open_services


def watches():
    return [thread for thread in threading.enumerate() if thread.name == "champion-watch"]


def test_services_open_with_every_part_away_and_end_with_the_block(tmp_path):
    settings = Settings(_env_file=None, home=tmp_path, serving={"champion_poll_s": 0.01})
    engine = open_engine(f"postgresql+psycopg2://nobody@/nothing?host={tmp_path}")
    with open_services(settings, engine) as services:
        assert services.settings is settings
        assert len(watches()) == 1
    assert watches() == []


def test_uploads_and_models_may_lie_in_two_buckets(tmp_path):
    settings = Settings(_env_file=None, bucket={"uri": str(tmp_path / "a"), "inference_uri": str(tmp_path / "b")})
    with open_services(settings, open_engine("postgresql+psycopg2://nobody@/nothing")) as services:
        services.images.write("key", b"data")
    assert (tmp_path / "b" / "key").read_bytes() == b"data"
