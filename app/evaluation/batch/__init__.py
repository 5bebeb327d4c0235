"""Many rules evaluated together: what they share is computed once.

In the order in which a job goes:

    formulas    each rule as and, or and not over atoms and over other segments; equal atoms of all rules are one
    ordering    rules that ask for segments of the same job come after them; cycles are refused
    columns     atoms on one profile column: decided once for each value of the column
    families    atoms that differ in a bound or a value only: read once
    atoms       the members of each atom, as a bitmap; what stands alone has a statement of its own
    job         one job: the atoms of a range of profiles, the rules over them, counts and members
"""

from app.evaluation.batch.job import Job, Outcome, evaluate

__all__ = ["Job", "Outcome", "evaluate"]
