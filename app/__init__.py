"""Segment gateway: the map, in the order in which a request meets the packages.

cli         the command line, and the demo that runs everything on one machine
main        the composition root: settings in, applications out
graphql     GraphQL in: schema, limits, errors
rest        REST in: AEP's own paths, /v1, the token endpoint
console     the GraphiQL page
auth        who calls
tenancy     on whose behalf, with which rights; sealed secrets
services    what we do, one file per resource; the write door
sync        AEP into the cache
audit       who did what
store       where it is written: PostgreSQL, one tenant at a time
upstream    whom we ask: AEP over HTTP
pql         the Profile Query Language
aep         the vendor's contract
context     the values that walk with every request
telemetry   logs and metrics
settings    what the environment says
asgi        layers around both applications
errors      the one error hierarchy
emulator    the second application: AEP and IMS on this machine
evaluation  the engine that it evaluates rules with
pytest_plugin  the emulator as a fixture for tests of your own code
"""
