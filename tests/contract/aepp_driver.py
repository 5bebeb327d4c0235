"""Drives `aepp`, a client of AEP that others wrote, in a process of its own: a call a line in, an answer a line out.

The client's code is untouched. As its users do, the process overwrites the addresses in the client's configuration;
for the few calls in which the client holds Adobe's host in its own code, requests to that host are sent to ours, which
is what a name server or a proxy would do.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import aepp
import requests
from aepp import accesscontrol, customerprofile, sandboxes, segmentation
from requests.adapters import HTTPAdapter

CLASSES = {
    "Segmentation": segmentation.Segmentation,
    "Profile": customerprofile.Profile,
    "Sandboxes": sandboxes.Sandboxes,
    "AccessControl": accesscontrol.AccessControl,
}


class OtherHost(HTTPAdapter):
    """Sends what is meant for Adobe's host to ours."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = urlsplit(url)

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        asked = urlsplit(request.url or "")
        request.url = urlunsplit((self._url.scheme, self._url.netloc, asked.path, asked.query, ""))
        return super().send(request, **options)


def configure(account: dict[str, str]) -> None:
    aepp.configure(
        org_id=account["org_id"],
        client_id=account["client_id"],
        secret=account["client_secret"],
        scopes=account["scopes"],
        sandbox=account["sandbox"],
        retry=0,
    )
    aepp.config.endpoints["global"] = account["url"]
    aepp.config.config_object["oauthTokenEndpointV2"] = f"{account['ims_url']}/ims/token/v3"


class Driver:
    def __init__(self, account: dict[str, str]) -> None:
        configure(account)
        self._url = account["url"]
        self._clients: dict[str, Any] = {}

    def answer(self, wanted: dict[str, Any]) -> Any:
        if wanted["client"] == "aepp":
            self._client("Segmentation")
            aepp.connection = self._clients["Segmentation"].connector
            return getattr(aepp, wanted["method"])(**wanted["arguments"])
        return getattr(self._client(wanted["client"]), wanted["method"])(**wanted["arguments"])

    def _client(self, name: str) -> Any:
        if name not in self._clients:
            client = CLASSES[name]()
            client.connector.session.mount("https://platform.adobe.io", OtherHost(self._url))
            self._clients[name] = client
        return self._clients[name]


def main() -> None:
    driver = Driver(json.loads(sys.stdin.readline()))
    print(json.dumps({"ready": aepp.__version__}), flush=True)
    for line in sys.stdin:
        # The client prints remarks of its own, which must not come between our lines.
        with contextlib.redirect_stdout(io.StringIO()):
            try:
                reply = {"result": driver.answer(json.loads(line))}
            except Exception as fault:  # noqa: BLE001 - whatever the client raises is its answer
                reply = {"raised": f"{type(fault).__name__}: {fault}"}
        print(json.dumps(reply, default=str), flush=True)


if __name__ == "__main__":
    main()
