"""Evaluates segment definitions over profiles in DuckDB: the engine that the emulator answers with. No HTTP here.

In the order in which an answer comes about:

    model       which XDM fields there are and in which tables and columns they live, said once
    schema      the model as XDM documents, for the Schema Registry and the rule checker
    layout      the model as places, for the rule compiler
    literals    SQL literals of our own constants
    draws       random numbers in SQL that depend on a seed only
    catalog     the fixed part of the Luma sample: cities, products, people's names
    sample      what a sample is made of: size, seed, anchor in time
    shop        the catalogue as statements
    people      the customers as statements
    visits      what the customers do, as statements
    luma        all statements of the sample, in order
    workers     blocking work in threads, stopped when nobody waits for it
    arrivals    records that come in later: profiles, attributes, events
    record_files   files of records: JSON lines, CSV, Parquet
    dataset     one DuckDB file for each organization and sandbox: made, opened, queried under limits, appended to
    namespaces  identity namespaces and their numbers
    bitmaps     sets of profile numbers between the database and roaring bitmaps
    state_files SQLite files that survive a kill
    memberships who is in which segment and since when, kept in a file
    statements  compiled rules made fast for these tables, with the same answer
    selection   what is said of selected profiles: counts, split by namespace, members
    batch       many rules together: what they share is computed once
    sampling    how many profiles an estimate reads and how sure it is
    documents   profiles as XDM documents
    parquet     exports as Parquet
    engine      the face of the package: count, estimate, members, batches, single profiles
    streaming   definitions evaluated as records arrive and as time passes
    errors      what can go wrong besides a wrong rule

Values are exact unless they are called an estimate, and no module reads a clock: the instant of an evaluation and the
anchor of a sample are arguments.
"""
