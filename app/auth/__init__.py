"""Who calls: a person with an access key, or an integration with a token that this gateway issued.

`clients` issues and verifies integrations' tokens with the keys of `signing`, `bearer` turns an ``Authorization``
header into an `Actor`, `middleware` does so for every protected request.
"""
