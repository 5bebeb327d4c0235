"""Where things live: PostgreSQL, reached through tenant-bound units of work.

`database` opens them, `rows` says what is stored, one repository file per resource reads and writes it, `embedded`
starts a server where there is none. SQLAlchemy is known here and nowhere else.
"""
