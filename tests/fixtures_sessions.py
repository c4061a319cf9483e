"""Sessions of the running dashboard without a browser, over Streamlit's own web socket: many at once are cheap."""

import uuid
from typing import Any

import httpx
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.Element_pb2 import Element
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState, WidgetStates
from websockets.sync.client import connect

ANSWER_S = 120
XSRF_COOKIE = "_streamlit_xsrf"


def new_browser(url: str) -> httpx.Client:
    """The cookies of a browser that has been at the dashboard; close it."""
    browser = httpx.Client(timeout=ANSWER_S)
    browser.get(f"{url}/_stcore/health").raise_for_status()
    return browser


class PageSession:
    """One reader's session: what a tab of a browser sends and is sent.

    Attributes:
        elements: what the page shows after its last run, in the order in which it was drawn.

    Args:
        url: of the dashboard.
        browser: the cookies; two sessions with the same one are two tabs of a browser.
    """

    def __init__(self, url: str, browser: httpx.Client) -> None:
        self.elements: list[Element] = []
        self._http, self._url = browser, url
        self._states: dict[str, WidgetState] = {}
        token = browser.cookies[XSRF_COOKIE]
        self._socket = connect(
            f"{url.replace('http', 'ws', 1)}/_stcore/stream",
            subprotocols=["streamlit", token],  # type: ignore[list-item]
            additional_headers={"Cookie": f"{XSRF_COOKIE}={token}", "Origin": url},
            max_size=None,
        )

    def close(self) -> None:
        """Close the tab."""
        self._socket.close()

    def load(self) -> None:
        """Show the page, which is empty until then."""
        self._run()

    def find(self, kind: str, label: str) -> Any:
        """The element of a kind (its name in Streamlit's protocol) whose label or text has these words.

        Raises:
            LookupError: it is not on the page.
        """
        for element in self.elements:
            if element.WhichOneof("type") == kind:
                found = getattr(element, kind)
                if label in (getattr(found, "label", "") or getattr(found, "body", "")):
                    return found
        raise LookupError(f"no {kind} with {label!r} on the page")

    def shown(self, kind: str) -> list[Any]:
        """All elements of a kind."""
        return [getattr(element, kind) for element in self.elements if element.WhichOneof("type") == kind]

    def tick(self, label: str) -> None:
        """Tick a box."""
        self._set(self.find("checkbox", label).id, bool_value=True)
        self._run()

    def upload(self, label: str, name: str, data: bytes) -> None:
        """Give a file to an uploader."""
        uploader = self.find("file_uploader", label)
        asked = BackMsg()
        asked.file_urls_request.request_id = str(uuid.uuid4())
        asked.file_urls_request.file_names.append(name)
        self._socket.send(asked.SerializeToString())
        urls = self._next("file_urls_response").file_urls_response.file_urls[0]
        self._put(urls.upload_url, name, data)
        state = self._set(uploader.id)
        state.file_uploader_state_value.uploaded_file_info.add(
            name=name, size=len(data), file_id=urls.file_id, file_urls=urls
        )
        self._run()

    def _put(self, path: str, name: str, data: bytes) -> None:
        headers = {"X-Xsrftoken": self._http.cookies[XSRF_COOKIE]}
        answer = self._http.put(f"{self._url}{path}", files={"file": (name, data)}, headers=headers)
        answer.raise_for_status()

    def _set(self, widget: str, **value: Any) -> WidgetState:
        self._states[widget] = WidgetState(id=widget, **value)
        return self._states[widget]

    def _run(self) -> None:
        """Ask for a run of the page and wait until it, and the runs that it asks for, are over."""
        asked = BackMsg()
        asked.rerun_script.widget_states.CopyFrom(WidgetStates(widgets=self._states.values()))
        self._socket.send(asked.SerializeToString())
        while self._next("script_finished").script_finished != ForwardMsg.FINISHED_SUCCESSFULLY:
            pass

    def _next(self, kind: str) -> ForwardMsg:
        while True:
            message = ForwardMsg.FromString(self._socket.recv(timeout=ANSWER_S))
            match message.WhichOneof("type"):
                case "new_session":
                    self.elements = []
                case "delta" if message.delta.WhichOneof("type") == "new_element":
                    self.elements.append(message.delta.new_element)
            if message.WhichOneof("type") == kind:
                return message
