"""REST: AEP's own paths (the facade), the gateway's ``/v1``, and the token endpoint.

`app` lists the routes, `problems` turns errors into bodies, one file per resource answers its calls.
"""
