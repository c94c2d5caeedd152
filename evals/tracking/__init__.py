"""Log results to MLflow. Only this package imports mlflow, and only when something is logged: importing it takes seconds.

What is called from outside is here. Logging is idempotent: a parent run carries the hash of what it logs, and what is there
already is not logged again. That is how a fresh clone is backfilled from the committed reports.
"""

from __future__ import annotations

from evals.tracking.promptfoo import log_promptfoo
from evals.tracking.runs import track
from evals.tracking.session import EXPERIMENT, tracking_uri
from evals.tracking.traces import trace
from evals.tracking.view import view_url

__all__ = ["EXPERIMENT", "log_promptfoo", "trace", "track", "tracking_uri", "view_url"]
