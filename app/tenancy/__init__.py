"""On whose behalf a request acts: its tenant, its sandbox and what it may do there.

`resolve` turns an actor and the request's headers into a `RequestContext`; `sealing` keeps secrets unreadable in the
database; `credentials` opens them for the calls upstream, `credential_rotation` changes them, `check` tries them;
`administration` makes tenants and their members, `author` says to the audit who did. `identity_providers` says who may
vouch for people, `people` makes those known, `own_keys` are theirs; `origins` are whose pages may call.
"""
