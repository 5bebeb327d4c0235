"""Who calls: a person with an access key, or an integration with a token that this gateway issued.

`access_keys` and `clients` know the credentials, `signing` the keys that tokens are signed with, `bearer` turns an
``Authorization`` header into an `Actor`, `middleware` does so for every protected request.
"""
