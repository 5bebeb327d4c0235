"""An AEP-compatible segmentation service that really evaluates rules, with the IMS that issues its tokens.

A second ASGI app, reached only by HTTP: it can stand in for Adobe's and knows nothing of the gateway. In the order in
which a request walks:

    serve, app            the process and the composition; `settings`
    clock, clock_control  the time, and the path that changes it
    guardrails            AEP's limits, and the path that switches them
    plumbing              size of bodies, trailing slashes, one log line for each request
    scenario, seeding, scenario_control     what it begins with, and the way back to a file
    sandbox_lifecycle, sandbox_control, presence   sandboxes that come and go, and which calls are inside of them
    fault_injection, faults, fault_control   faults on demand: the layer, its rules, their admin path
    ims, tokens           the identity service and the tokens that it signs
    gate                  header checks in AEP's order; binds a call to (organization, sandbox)
    deeds                 what calls do: the permissions they need, and their names in the audit log
    segment_definitions, audiences, estimates, segment_jobs, export_jobs, schedules, search, merge_policies, sandboxes,
    access_control, audit_log, schema_registry, external_audiences, profiles, profile_events
                          one file per resource; `documents` and `bulk` are what several of them share
    ingestion, record_validation, record_stream, record_streams, membership_feed
                          records in, held to the schema, on their way; changes of membership out
    answers               JSON bodies and AEP's error bodies
    rules, schemas        rules checked against the organization's union schema
    populations           the samples and the engine that counts in them, off the event loop
    background            work that outlives its call
    state, organizations  what is kept: a SQLite file, and the organizations with their secrets
"""
