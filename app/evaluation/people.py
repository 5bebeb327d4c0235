"""The customers of the Luma sample as statements: who they are, how they can be reached, and how much they buy."""
# ruff: noqa: S608 - these statements are made of constants and numbers; no text of a caller gets into them

from __future__ import annotations

from collections.abc import Sequence

from app.evaluation import model, shop
from app.evaluation.catalog import FEMALE_NAMES, LAST_NAMES, MALE_NAMES, PLACES
from app.evaluation.draws import Draws
from app.evaluation.literals import list_of
from app.evaluation.sample import SampleSpec

PURCHASES_PER_PROFILE = 5.0
BROWSES_PER_PROFILE = 0.6

RESELLER_EVERY, RESELLER_PURCHASES = 50_000, 400
"""One customer of so many buys for resale: hot profiles, which real data has and uniform data has not."""


def customers(spec: SampleSpec, draws: Draws) -> str:
    """Return the statement that makes ``customers``: all that is drawn for each.

    ``n`` is the customer number, in the order in which they joined; ``profile_no`` is in the order of a hash of it.
    """
    weight = f"pow({draws.exponential('activity', 'n')}, 1.5) / 1.3293"
    resale = f"CASE WHEN n % {RESELLER_EVERY} = 17 THEN {RESELLER_PURCHASES} ELSE 0 END"
    gender = draws.choice("gender", "n", (("female", 47), ("male", 43), ("non_specific", 4), (None, 6)))
    return f"""
        CREATE TEMP TABLE customers AS
        SELECT (row_number() OVER (ORDER BY {draws.bits("profile number", "n")}, n) - 1)::INTEGER AS profile_no,
               n,
               'A' || replace(replace(rtrim(to_base64(unhex(md5('{spec.seed}:' || n))), '='), '+', '-'), '/', '_')
                   AS profile_id,
               gender,
               {_name("first name", FEMALE_NAMES, draws)} AS female_name,
               {_name("first name", MALE_NAMES, draws)} AS male_name,
               {_name("last name", LAST_NAMES, draws)} AS last_name,
               {_birth_date(spec, draws)} AS birth_date,
               {_place("home", draws)} AS home_place,
               CASE WHEN {draws.chance("ships elsewhere", "n", 0.12)} THEN {_place("shipping", draws)}
                    ELSE home_place END AS shipping_place,
               {draws.choice("mail host", "n", (("example.com", 60), ("example.org", 22), ("example.net", 18)))}
                   AS mail_host,
               {draws.chance("has e-mail", "n", 0.92)} AS has_email,
               {draws.chance("has phone", "n", 0.55)} AS has_phone,
               {draws.below("phone", "n", 10_000_000)} AS phone_digits,
               {draws.choice("e-mail consent", "n", (("y", 55), ("n", 22), ("p", 5), (None, 18)))} AS email_consent,
               {draws.choice("sms consent", "n", (("y", 28), ("n", 37), ("p", 5), (None, 30)))} AS sms_consent,
               {draws.choice("collect consent", "n", (("y", 87), ("n", 7), ("p", 1), (None, 5)))} AS collect_consent,
               CASE WHEN {draws.chance("has ECID", "n", 0.85)}
                    THEN lpad({draws.bits("ECID", "n")}::VARCHAR, 20, '0')
                         || lpad(({draws.bits("ECID, rest", "n")} % 1000000000000000000)::VARCHAR, 18, '0')
                    END AS ecid,
               {draws.chance("member", "n", 0.75)} AS is_member,
               {weight} AS weight,
               floor(weight * 1500 * (0.3 + 1.4 * {draws.uniform("points", "n")}))::INTEGER AS points,
               {spec.as_of_sql} - to_seconds(floor(1800.0 * 86400
                   * (1 - (n + {draws.uniform("joined", "n")}) / {spec.profiles}))::BIGINT) AS joined_at,
               CASE WHEN {draws.chance("has a favourite store", "n", 0.6)}
                    THEN {draws.below("favourite store", "n", shop.STORE_COUNT)} END AS favourite_store_no,
               {shop.product_no("favourite", "n", draws)} AS favourite_product_no,
               floor({PURCHASES_PER_PROFILE} * weight + {draws.uniform("purchases", "n")})::INTEGER + {resale}
                   AS purchases,
               floor({BROWSES_PER_PROFILE} * (0.5 + 0.5 * weight) + {draws.uniform("browses", "n")})::INTEGER AS browses
        FROM (SELECT n, {gender} AS gender FROM range({spec.profiles}) AS customer(n))
        ORDER BY profile_no"""


def _name(purpose: str, names: Sequence[str], draws: Draws) -> str:
    return f"({list_of(names)})[1 + {draws.below(purpose, 'n', len(names))}]"


def _birth_date(spec: SampleSpec, draws: Draws) -> str:
    young_first = f"pow({draws.uniform('age', 'n')}, 1.3) * 52 + {draws.uniform('age, rest', 'n')} * 16"
    age_days = f"floor(365.25 * (16 + {young_first}))::INTEGER"
    known = draws.chance("has birth date", "n", 0.85)
    return f"CASE WHEN {known} THEN CAST({spec.as_of_sql} AS DATE) - {age_days} END"


def _place(purpose: str, draws: Draws) -> str:
    """An index into `PLACES`, by weight, or NULL for one customer in twenty."""
    slots = [index for index, place in enumerate(PLACES) for _ in range(place.weight)]
    known = draws.chance(f"{purpose} known", "n", 0.95)
    return f"CASE WHEN {known} THEN ({list_of(slots)})[1 + {draws.below(purpose, 'n', len(slots))}] END"


def profiles() -> str:
    """Return the statement that fills the profiles from ``customers``."""
    level = """CASE WHEN NOT is_member THEN NULL WHEN points >= 6000 THEN 'platinum' WHEN points >= 2500 THEN 'gold'
                    WHEN points >= 900 THEN 'silver' ELSE 'bronze' END"""
    first_name = """CASE gender WHEN 'female' THEN female_name WHEN 'male' THEN male_name
                    ELSE CASE WHEN n % 2 = 0 THEN female_name ELSE male_name END END"""
    return f"""
        INSERT INTO profiles BY NAME
        SELECT profile_no, profile_id, {_namespace_bits()} AS namespace_bits,
               {first_name} AS first_name, last_name, gender,
               birth_date, year(birth_date) AS birth_year, month(birth_date) AS birth_month,
               home.country AS home_country, home.city AS home_city,
               shipping.country AS shipping_country, shipping.city AS shipping_city,
               CASE WHEN has_email
                    THEN lower(strip_accents(replace({first_name} || '.' || last_name, '''', ''))) || '.' || n
                         || '@' || mail_host END AS email,
               CASE WHEN has_phone THEN '+1555' || lpad(phone_digits::VARCHAR, 7, '0') END AS phone,
               email_consent, sms_consent, collect_consent,
               CASE WHEN is_member THEN 'L' || lpad(n::VARCHAR, 9, '0') END AS loyalty_id,
               {level} AS loyalty_level,
               CASE WHEN is_member THEN points END AS loyalty_points,
               CASE WHEN is_member THEN joined_at END AS loyalty_joined_at,
               store AS favourite_store
        FROM customers
        LEFT JOIN {shop.places()} AS home(place, country, city) ON home.place = home_place
        LEFT JOIN {shop.places()} AS shipping(place, country, city) ON shipping.place = shipping_place
        LEFT JOIN made_stores ON store_no = favourite_store_no
        ORDER BY profile_no"""


def _namespace_bits() -> str:
    present = {"ECID": "ecid IS NOT NULL", "Email": "has_email", "Phone": "has_phone", "lumaLoyaltyId": "is_member"}
    return " + ".join(
        f"({present[code]})::BIGINT * {1 << bit}" for bit, code in enumerate(model.IDENTITY_NAMESPACE.values)
    )


def identities() -> str:
    """Return the statements that fill the identities, by namespace and profile."""
    sources = (
        ("ECID", "customers", "ecid", "true"),
        ("Email", "profiles", "email", "false"),
        ("Phone", "profiles", "phone", "false"),
        ("lumaLoyaltyId", "profiles", "loyalty_id", "false"),
    )
    return ";\n".join(
        f"""INSERT INTO identities BY NAME
            SELECT profile_no, '{namespace}' AS namespace, 0 AS position, {column} AS identity, {primary} AS is_primary
            FROM {table} WHERE {column} IS NOT NULL ORDER BY profile_no"""
        for namespace, table, column, primary in sources
    )


def perks() -> str:
    """Return the statement that fills the perks, which follow from the level."""
    return """
        INSERT INTO profile_perks BY NAME
        SELECT profile_no, unnest(range(len(perks))) AS position, unnest(perks) AS perk
        FROM (SELECT profile_no,
                     CASE loyalty_level WHEN 'platinum' THEN ['freeShipping', 'earlyAccess', 'lounge', 'birthdayGift']
                                        WHEN 'gold' THEN ['freeShipping', 'earlyAccess']
                                        WHEN 'silver' THEN ['freeShipping'] END AS perks
              FROM profiles WHERE loyalty_level IN ('platinum', 'gold', 'silver'))
        ORDER BY profile_no, position"""
