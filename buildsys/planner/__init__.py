"""Recipe to action graph: routes between formats, labels, selectors.

Modules are imported from here by their own names: a command that reuses a planned graph needs few of them.
"""
