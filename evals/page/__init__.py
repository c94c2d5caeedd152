"""The report page: everything the pipeline found, in one file that needs nothing else."""

from evals.page.build import page, write_page

__all__ = ["page", "write_page"]
