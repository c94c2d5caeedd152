"""``python migration_driver.py DATABASE_URL EVERY``: bring a schema up to date, killed at every so many statements; print how often.

The last child comes to the end. Each is a fork of this process, which has a single thread and no connection.
"""

import itertools
import os
import signal
import sys

from sqlalchemy import event

from orchestrator.store import migrate
from orchestrator.store.database import database_url, open_engine


def main() -> None:
    url, every = database_url(sys.argv[1]), int(sys.argv[2])
    for kills in itertools.count():
        pid = os.fork()
        if pid == 0:
            engine = open_engine(url)
            left = itertools.count((kills + 1) * every - 1, -1)
            event.listen(engine, "after_cursor_execute", lambda *_, left=left: next(left) or os.kill(os.getpid(), signal.SIGKILL))
            migrate.upgrade(engine)
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        if status == 0:
            break
        if not os.WIFSIGNALED(status) or os.WTERMSIG(status) != signal.SIGKILL:
            sys.exit(f"the child after {kills} kills ended with status {status}")
    print(kills)


if __name__ == "__main__":
    main()
