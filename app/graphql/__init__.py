"""GraphQL: `schema` puts together what `types`, `queries` and `mutations` define, `app` speaks it over HTTP.

`limits` refuses documents that would cost too much before anything runs, `errors` gives every error its code.
"""
