"""The fixtures of the pages."""

from tests.fixtures_dashboard import api_address, open_page, scripted_api

__all__ = ["api_address", "open_page", "scripted_api"]
