"""Which hosts serve an organization, by the region that its data are kept in.

Adobe publishes one host of the platform and one of IMS for all regions: both find the region by the organization. A
region is therefore a name that is checked, and a place to write a host down the day that Adobe gives one its own.
Source: the sandbox object's ``region`` and the getting-started pages of the API reference, read December 2025.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from app.errors import InvalidRequest

DEFAULT_REGION: Final = "VA7"
_PLATFORM: Final = "https://platform.adobe.io"
_IMS: Final = "https://ims-na1.adobelogin.com"
# Names that never leave the machine or the network that it stands in; there plain HTTP is somebody's own affair.
_PRIVATE_ENDINGS: Final = (".localhost", ".internal", ".local", ".test")


@dataclass(frozen=True, slots=True)
class Hosts:
    """Where an organization's calls go: two addresses without a path."""

    platform_url: str
    ims_url: str


HOSTS: Final[dict[str, Hosts]] = {region: Hosts(_PLATFORM, _IMS) for region in ("VA7", "NLD2", "AUS5")}


def hosts_of(region: str = DEFAULT_REGION, *, platform_url: str | None = None, ims_url: str | None = None) -> Hosts:
    """Return the hosts of a region (``VA7``), each replaced by the given address. Raises `InvalidRequest`."""
    known = HOSTS.get(region.upper())
    if known is None:
        raise InvalidRequest(f"There is no region {region!r}.", hint=f"Regions are {', '.join(HOSTS)}.")
    return Hosts(
        known.platform_url if platform_url is None else checked_host(platform_url),
        known.ims_url if ims_url is None else checked_host(ims_url),
    )


def checked_host(url: str) -> str:
    """Return an address of AEP or IMS without its last slash.

    Raises `InvalidRequest` for one that is no plain host: secrets and profile data are sent there, so it must be
    HTTPS, except on this machine and in a private network, and it must not be a machine's own metadata service.
    """
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError:
        raise _bad(url, "it cannot be read") from None
    host = parts.hostname or ""
    if parts.scheme not in {"https", "http"} or not host:
        raise _bad(url, "it needs https:// and a host")
    if parts.username or parts.password or parts.query or parts.fragment or parts.path.strip("/"):
        raise _bad(url, "it is more than a host")
    if _is_link_local(host):
        raise _bad(url, "it is a link-local address")
    if parts.scheme == "http" and not _is_private(host):
        raise _bad(url, "secrets would travel in the clear")
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}{f':{port}' if port else ''}"


def _bad(url: str, why: str) -> InvalidRequest:
    # What stands before an @ may be a password.
    return InvalidRequest(
        f"{url.rpartition('@')[2]!r} is no address of Adobe's: {why}.", hint=f"An address reads {_PLATFORM}."
    )


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _is_link_local(host: str) -> bool:
    address = _address(host)
    return address is not None and address.is_link_local


def _is_private(host: str) -> bool:
    address = _address(host)
    if address is not None:
        return address.is_private
    return "." not in host or host.endswith(_PRIVATE_ENDINGS)
