"""The verbs of the command line, a module for each group. What a verb needs is imported when it runs, so that ``--help`` is quick."""
