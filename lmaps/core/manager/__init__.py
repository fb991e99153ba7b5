"""The manager: owns the clients' socket, the workers' socket, the database and the job queue.

serving    the loop: Manager
group      one transaction for all work that waits
desk       requests of clients
dispatch   workers, jobs, and the tasks that they run
"""

from lmaps.core.manager.serving import Doors, Manager, open_doors

__all__ = ["Doors", "Manager", "open_doors"]
