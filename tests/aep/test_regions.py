"""Which hosts an organization's secrets may be sent to."""

from __future__ import annotations

import pytest

from app.aep.regions import checked_host, hosts_of
from app.errors import InvalidRequest


def test_a_region_has_hosts_and_each_may_be_replaced() -> None:
    assert hosts_of("nld2").platform_url == "https://platform.adobe.io"
    replaced = hosts_of("VA7", ims_url="https://ims-na1-stg1.adobelogin.com/")
    assert replaced.ims_url == "https://ims-na1-stg1.adobelogin.com"
    assert replaced.platform_url == hosts_of().platform_url


def test_an_unknown_region_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(InvalidRequest, match="MOON1") as caught:
        hosts_of("MOON1")
    assert "VA7" in str(caught.value.hint)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8081", "http://[::1]:8081", "http://emulator:8081", "http://10.1.2.3", "http://aep.test"]
)
def test_plain_http_may_stay_in_a_private_network(url: str) -> None:
    assert checked_host(url + "/") == url


@pytest.mark.parametrize(
    "url",
    [
        "http://platform.adobe.io",
        "http://8.8.8.8",
        "ftp://platform.adobe.io",
        "platform.adobe.io",
        "https://",
        "https://user:s3cret@platform.adobe.io",
        "https://platform.adobe.io/data",
        "https://platform.adobe.io?x=1",
        "https://platform.adobe.io:port",
        "http://169.254.169.254",
        "https://[fe80::1]",
        "https://[",
    ],
)
def test_what_is_no_host_of_adobes_is_refused_and_shows_no_password(url: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        checked_host(url)
    assert "s3cret" not in str(caught.value)
