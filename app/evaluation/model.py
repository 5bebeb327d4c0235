"""The data model of the Luma sample, said once: which XDM field lives in which column of which table.

`schema` tells it as XDM documents, `layout` as places for the compiler, `dataset` as tables, `documents` as profiles;
`luma` fills the columns. A field that is added here and nowhere else fails the tests of all of them.

A path whose first part is `TENANT` stands under the organization's own namespace, such as ``_wwfovlab011``. Values of
few kinds are kept as database enumerations, which cost a byte or two a row and compare as numbers; their order is the
code-point order of the text, so that ``<`` between two of them means what it means between strings.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

TENANT = "{tenant}"

XDMType = Literal["string", "integer", "number", "boolean", "date", "date-time"]
Path = tuple[str, ...]

_SQL_TYPES: dict[XDMType, str] = {
    "string": "VARCHAR",
    "integer": "INTEGER",
    "number": "DOUBLE",
    "boolean": "BOOLEAN",
    "date": "DATE",
    "date-time": "TIMESTAMP",
}


@dataclass(frozen=True, slots=True)
class Codes:
    """An enumeration of the database. ``values`` is empty where the catalogue decides them."""

    name: str
    values: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if list(self.values) != sorted(self.values):
            raise ValueError(f"the values of {self.name} are not in code-point order")


@dataclass(frozen=True, slots=True)
class Field:
    """A scalar field and its column. ``closed`` says that the XDM schema lists the values of ``codes``."""

    path: Path
    column: str
    type: XDMType
    title: str
    codes: Codes | None = None
    closed: bool = False

    @property
    def sql_type(self) -> str:
        """The column's type in the database."""
        return self.codes.name if self.codes else _SQL_TYPES[self.type]

    def path_in(self, namespace: str) -> Path:
        """Return the path with the organization's namespace in its place."""
        return path_in(self.path, namespace)


@dataclass(frozen=True, slots=True)
class Entity:
    """Fields whose rows stand in one table. ``keys`` are (column, SQL type) of what places a row, not a field."""

    table: str
    keys: tuple[tuple[str, str], ...]
    fields: tuple[Field, ...]

    @property
    def columns(self) -> tuple[tuple[str, str], ...]:
        """All columns as (name, SQL type), in table order."""
        return self.keys + tuple((field.column, field.sql_type) for field in self.fields)


@dataclass(frozen=True, slots=True)
class LookupEntity:
    """A record class that fields of profiles and events point to by its primary identity ``key``."""

    class_name: Path
    title: str
    entity: Entity
    key: Field


def path_in(path: Path, namespace: str) -> Path:
    """Return the path with the organization's namespace where `TENANT` stands."""
    return tuple(namespace if part == TENANT else part for part in path)


def _field(
    path: str,
    column: str,
    type_: XDMType,
    title: str,
    codes: Codes | None = None,
    *,
    closed: bool = False,
) -> Field:
    return Field(tuple(path.split(".")), column, type_, title, codes, closed)


GENDER = Codes("gender_code", ("female", "male", "non_specific"))
LEVEL = Codes("level_code", ("bronze", "gold", "platinum", "silver"))
CONSENT = Codes("consent_code", ("n", "p", "y"))
PERK = Codes("perk_code", ("birthdayGift", "earlyAccess", "freeShipping", "lounge"))
COUNTRY = Codes("country_code", ("AT", "AU", "CA", "DE", "FR", "GB", "IN", "JP", "US"))
CITY = Codes("city_code")
STORE = Codes("store_code")
SKU = Codes("sku_code")
PRODUCT_NAME = Codes("product_name_code")
CATEGORY = Codes("category_code", ("Gear", "Men", "Women"))
SUBCATEGORY = Codes("subcategory_code")
CURRENCY = Codes("currency_code", ("AUD", "CAD", "EUR", "GBP", "INR", "JPY", "USD"))
EVENT_TYPE = Codes(
    "event_type_code",
    (
        "commerce.checkouts",
        "commerce.productListAdds",
        "commerce.productViews",
        "commerce.purchases",
        "web.webpagedetails.pageViews",
    ),
)
CHANNEL = Codes("channel_code", ("point of sale", "web"))
PAGE = Codes("page_code", ("cart", "checkout", "gear", "home", "men", "order confirmation", "product", "women"))
CAMPAIGN = Codes("campaign_code", ("newsletter", "search", "social", "spring-sale"))
IDENTITY_NAMESPACE = Codes("identity_namespace_code", ("ECID", "Email", "Phone", "lumaLoyaltyId"))

ENUMERATIONS: tuple[Codes, ...] = (
    *(GENDER, LEVEL, CONSENT, PERK, COUNTRY, CITY, STORE, SKU, PRODUCT_NAME, CATEGORY, SUBCATEGORY, CURRENCY),
    *(EVENT_TYPE, CHANNEL, PAGE, CAMPAIGN, IDENTITY_NAMESPACE),
)

PROFILE_KEY = "profile_no"
PROFILE_ID = "profile_id"
NAMESPACE_BITS = "namespace_bits"
"""In which identity namespaces a profile has an identity: one bit for each value of `IDENTITY_NAMESPACE`, first value
lowest. It repeats what the identities say, so that counting by namespace needs no join with millions of them."""

EVENT_KEY = "event_no"
EVENT_TIME = "occurred_at"

PROFILES = Entity(
    table="profiles",
    keys=((PROFILE_KEY, "INTEGER"), (PROFILE_ID, "VARCHAR"), (NAMESPACE_BITS, "BIGINT")),
    fields=(
        _field("person.name.firstName", "first_name", "string", "First name"),
        _field("person.name.lastName", "last_name", "string", "Last name"),
        _field("person.gender", "gender", "string", "Gender", GENDER, closed=True),
        _field("person.birthDate", "birth_date", "date", "Birth date"),
        _field("person.birthYear", "birth_year", "integer", "Birth year"),
        _field("person.birthMonth", "birth_month", "integer", "Birth month"),
        _field("homeAddress.countryCode", "home_country", "string", "Country code of the home", COUNTRY),
        _field("homeAddress.city", "home_city", "string", "City of the home", CITY),
        _field("shippingAddress.countryCode", "shipping_country", "string", "Country code for shipping", COUNTRY),
        _field("shippingAddress.city", "shipping_city", "string", "City for shipping", CITY),
        _field("personalEmail.address", "email", "string", "Personal e-mail address"),
        _field("mobilePhone.number", "phone", "string", "Mobile phone number"),
        _field("consents.marketing.email.val", "email_consent", "string", "Marketing by e-mail", CONSENT, closed=True),
        _field(
            "consents.marketing.sms.val", "sms_consent", "string", "Marketing by text message", CONSENT, closed=True
        ),
        _field("consents.collect.val", "collect_consent", "string", "Collection of data", CONSENT, closed=True),
        _field(f"{TENANT}.loyalty.loyaltyId", "loyalty_id", "string", "Loyalty id"),
        _field(f"{TENANT}.loyalty.level", "loyalty_level", "string", "Loyalty level", LEVEL, closed=True),
        _field(f"{TENANT}.loyalty.points", "loyalty_points", "integer", "Loyalty points"),
        _field(f"{TENANT}.loyalty.joinDate", "loyalty_joined_at", "date-time", "Joined the loyalty programme"),
        _field(f"{TENANT}.favouriteStoreId", "favourite_store", "string", "Favourite store", STORE),
    ),
)

PERKS_PATH: Path = (TENANT, "loyalty", "perks")
"""An array of strings on the profile; one row of `PERKS` for each member."""

PERKS = Entity(
    table="profile_perks",
    keys=((PROFILE_KEY, "INTEGER"), ("position", "UTINYINT"), ("perk", PERK.name)),
    fields=(),
)

IDENTITY_MAP_PATH: Path = ("identityMap",)
"""A map from namespace to an array of identities; one row of `IDENTITIES` for each of them."""

IDENTITY_NAMESPACE_COLUMN = "namespace"

IDENTITIES = Entity(
    table="identities",
    keys=((PROFILE_KEY, "INTEGER"), (IDENTITY_NAMESPACE_COLUMN, IDENTITY_NAMESPACE.name), ("position", "UTINYINT")),
    fields=(
        _field("id", "identity", "string", "Identity"),
        _field("primary", "is_primary", "boolean", "Is the primary identity"),
    ),
)

EVENTS_PATH: Path = ("xEvent",)

EVENTS = Entity(
    table="events",
    keys=((PROFILE_KEY, "INTEGER"), (EVENT_KEY, "BIGINT")),
    fields=(
        _field("_id", "event_id", "string", "Event id"),
        _field("eventType", "event_type", "string", "Event type", EVENT_TYPE),
        _field("timestamp", EVENT_TIME, "date-time", "Time of the event"),
        _field("channel.typeAtSource", "channel", "string", "Channel", CHANNEL, closed=True),
        _field("web.webPageDetails.name", "page_name", "string", "Page name", PAGE),
        _field("web.webPageDetails.pageViews.value", "page_views", "number", "Page views"),
        _field("marketing.trackingCode", "tracking_code", "string", "Campaign", CAMPAIGN),
        _field("commerce.productViews.value", "product_views", "number", "Product views"),
        _field("commerce.productListAdds.value", "product_list_adds", "number", "Additions to the basket"),
        _field("commerce.checkouts.value", "checkouts", "number", "Checkouts"),
        _field("commerce.purchases.value", "purchases", "number", "Purchases"),
        _field("commerce.order.purchaseID", "purchase_id", "string", "Order number"),
        _field("commerce.order.priceTotal", "price_total", "number", "Sum of the order"),
        _field("commerce.order.currencyCode", "currency", "string", "Currency of the order", CURRENCY),
        _field(f"{TENANT}.storeId", "store", "string", "Store of a purchase at a point of sale", STORE),
    ),
)

ITEMS_PATH: Path = ("productListItems",)

ITEMS = Entity(
    table="items",
    keys=(
        (PROFILE_KEY, "INTEGER"),
        (EVENT_KEY, "BIGINT"),
        ("item_no", "UTINYINT"),
        ("event_type", EVENT_TYPE.name),
        (EVENT_TIME, "TIMESTAMP"),
    ),
    fields=(
        _field("SKU", "sku", "string", "SKU", SKU),
        _field("name", "product_name", "string", "Product name", PRODUCT_NAME),
        _field("quantity", "quantity", "integer", "Quantity"),
        _field("priceTotal", "price_total", "number", "Price of the line"),
    ),
)

PRODUCTS = Entity(
    table="products",
    keys=(("product_no", "SMALLINT"),),
    fields=(
        _field(f"{TENANT}.sku", "sku", "string", "SKU", SKU),
        _field(f"{TENANT}.name", "name", "string", "Product name", PRODUCT_NAME),
        _field(f"{TENANT}.category", "category", "string", "Category", CATEGORY, closed=True),
        _field(f"{TENANT}.subcategory", "subcategory", "string", "Subcategory", SUBCATEGORY),
        _field(f"{TENANT}.price", "price", "number", "Price"),
        _field(f"{TENANT}.margin", "margin", "number", "Margin as a share of the price, 0 to 1"),
        _field(f"{TENANT}.inStock", "in_stock", "boolean", "Is in stock"),
    ),
)

STORES = Entity(
    table="stores",
    keys=(("store_no", "SMALLINT"),),
    fields=(
        _field(f"{TENANT}.storeId", "store", "string", "Store id", STORE),
        _field(f"{TENANT}.name", "name", "string", "Store name"),
        _field(f"{TENANT}.city", "city", "string", "City", CITY),
        _field(f"{TENANT}.countryCode", "country", "string", "Country code", COUNTRY),
    ),
)

LOOKUPS: tuple[LookupEntity, ...] = (
    LookupEntity(("_xdm", "context", "product"), "Product catalogue", PRODUCTS, PRODUCTS.fields[0]),
    LookupEntity((TENANT, "xdm", "classes", "store"), "Stores", STORES, STORES.fields[0]),
)

TABLES: tuple[Entity, ...] = (PROFILES, PERKS, IDENTITIES, EVENTS, ITEMS, PRODUCTS, STORES)
