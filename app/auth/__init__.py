"""Who calls: a person with an access key, a provider's token or a session, or an integration with a token of ours.

`clients` issues and verifies integrations' tokens with the keys of `signing`; `people_tokens` verifies those of
identity providers. `bearer` turns an ``Authorization`` header into an `Actor`. `sign_in` leads a browser through its
provider, `sessions` remembers it, `browser` trusts its cookie only on pages of ours. `middleware` does all that for
every protected request, within the `limits`; `cors` lets pages of other origins in; `last_use` notes what was used.
"""
