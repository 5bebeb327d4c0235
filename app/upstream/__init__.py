"""AEP as we call it: addresses, tokens, one HTTP client, and one file per resource. `openid` calls identity providers.

Reading and writing are kept apart. `client` reads; `mutations` is the only way to change anything at AEP, and only
the write door in `app.services` may import it (an import contract says so).
"""
