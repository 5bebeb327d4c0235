"""Pages for people: GraphiQL, with every asset from this package, and signing in.

`assets` holds what the page is made from, `static` what ``make assets`` made of it.
"""
