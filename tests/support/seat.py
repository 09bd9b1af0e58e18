"""A person's place in a lab's JupyterHub, as a browser has it: sign-in, server, and code in a kernel."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from functools import cached_property
from urllib.parse import urlsplit

import httpx
import websocket

from tests.support.lab import wait_until

ANSWER_S = 120


@dataclass
class Seat:
    """One person.

    Attributes:
        url: The workbench's address.
        name: The person's name.
        first: The password of the hand-out.
        own: The person's own one, chosen at the first visit.
    """

    url: str
    name: str
    first: str
    own: str
    browser: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self.browser = httpx.Client(base_url=self.url, follow_redirects=True, timeout=ANSWER_S)

    def sign_in(self, password: str) -> httpx.Response:
        """Fill the form of the sign-in; give the page after it."""
        self.browser.cookies.clear()
        self.browser.get("/hub/login")
        return self.browser.post("/hub/login", data={"username": self.name, "password": password, "_xsrf": self.xsrf})

    def reaches_the_server(self) -> bool:
        """Whether the person's server answers through the proxy."""
        try:
            return self.browser.get(f"/user/{self.name}/api/status").status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    def choose_password(self) -> httpx.Response:
        """Fill the form for another password."""
        return self.browser.post("/hub/auth/change-password", data={"password": self.own, "_xsrf": self.xsrf})

    @property
    def xsrf(self) -> str:
        """What the hub's forms carry."""
        return next(one.value or "" for one in self.browser.cookies.jar if one.name == "_xsrf" and "/hub" in one.path)

    def start(self) -> None:
        """Start the server, and wait until it answers."""

        def answers() -> bool:
            return f"/user/{self.name}/lab" in str(self.browser.get("/hub/spawn").url)

        wait_until(answers, ANSWER_S, f"{self.name}'s server answers")

    @cached_property
    def token(self) -> str:
        """A token of the person's own, for what a page would do by cookies."""
        made = self.browser.post(f"/hub/api/users/{self.name}/tokens", headers={"X-XSRFToken": self.xsrf}, json={})
        return str(made.json()["token"])

    def ask(self, path: str, method: str = "GET", body: object = None) -> httpx.Response:
        """Ask something through the proxy as this person."""
        headers = {"Authorization": f"token {self.token}"}
        return httpx.request(method, self.url + path, headers=headers, json=body, timeout=ANSWER_S)

    @cached_property
    def kernel(self) -> str:
        """A kernel of the person's server."""
        return str(self.ask(f"/user/{self.name}/api/kernels", "POST", {}).json()["id"])

    def run(self, code: str) -> str:
        """Run code in the kernel; give what it printed, or its error."""
        place = f"ws://{urlsplit(self.url).netloc}/user/{self.name}/api/kernels/{self.kernel}/channels"
        socket = websocket.create_connection(place, ANSWER_S, header=[f"Authorization: token {self.token}"])
        try:
            asked = uuid.uuid4().hex
            header = {
                "msg_id": asked,
                "msg_type": "execute_request",
                "username": "",
                "session": asked,
                "version": "5.3",
            }
            content = {"code": code, "silent": False, "store_history": False, "allow_stdin": False}
            message = {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell"}
            socket.send(json.dumps(message))
            printed = ""
            while True:
                answer = json.loads(socket.recv())
                if answer["parent_header"].get("msg_id") != asked:
                    continue
                said = answer["content"]
                if answer["msg_type"] == "stream":
                    printed += said["text"]
                elif answer["msg_type"] == "error":
                    printed += f"{said['ename']}: {said['evalue']}"
                elif answer["msg_type"] == "status" and said["execution_state"] == "idle":
                    return printed
        finally:
            socket.close()
