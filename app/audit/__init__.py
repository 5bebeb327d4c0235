"""Who did what, on whose behalf, with which outcome: an append-only chain for each tenant.

`actions` lists everything that can be recorded, `recorder` writes events in the caller's transaction, `chain` says
how one event's hash follows from the event before it. `export` writes a chain down, and `verifier`, which needs nothing
but Python, checks what was written down. `checkpoints` signs what the chain held at a time, `proofs` ties single events
to that.
"""
