"""Evaluates streaming segment definitions as records arrive and as time passes. No HTTP and no clock of its own.

In the order in which a record meets them:

    fields      values of a document, read as their types tell
    predicates  checked trees as closures over one document, from a closed set of templates
    windows     between which instants of evaluation an event lies in a window
    conditions  a rule taken apart: what one event says, what the profile says, how they are joined
    index       all conditions on one kind of document at once, as bits
    chains      events in order
    rules       every definition of a sandbox, compiled together
    profiles    what is remembered of a profile
    timers      what has to be looked at again, and when
    engine      records and instants in, changes of membership out
    journal     inputs and profiles on disk
    stream      the engine with its journal: a killed process loses nothing that it acknowledged

The judge is `app.pql.reference`: at every instant a profile is a member where the reference says so. What has no
template of its own is asked of the reference itself. Instants are microseconds since 1970 in UTC; days are UTC days.
"""
