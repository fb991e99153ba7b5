"""The manager: owns the clients' socket, the workers' socket, the database and the job queue.

serving      the loop: Manager
group        one transaction for all work that waits
desk         requests of clients
dispatch     workers, jobs, and the tasks that they run
hearing      what workers say
confirming   what is undone unless it is confirmed
housekeeping what goes by itself when it is old
looking      what is found out when there is time
"""

from lmaps.manager.manager import Doors, Manager, open_doors

__all__ = ["Doors", "Manager", "open_doors"]
