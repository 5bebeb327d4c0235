"""Identity namespaces of the sample: the vendor's fixed numbers, and ours for the custom one.

Source of the numbers: the identity namespaces that AEP ships with (ECID 4, Email 6, Phone 7); custom ones are numbered
higher by each sandbox, here from 10,001,000.
"""

from __future__ import annotations

from dataclasses import dataclass

from app.evaluation.model import IDENTITY_NAMESPACE


@dataclass(frozen=True, slots=True)
class IdentityNamespace:
    """``number`` is the vendor's ``namespaceId``, ``code`` the symbol by which data refers to it."""

    number: int
    code: str


_NUMBERS = {"ECID": 4, "Email": 6, "Phone": 7, "lumaLoyaltyId": 10_001_000}

NAMESPACES: dict[str, IdentityNamespace] = {
    code: IdentityNamespace(_NUMBERS[code], code) for code in IDENTITY_NAMESPACE.values
}
"""All namespaces by code, in the order of their bits in `app.evaluation.model.NAMESPACE_BITS`."""
