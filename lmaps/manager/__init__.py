"""The manager: owns the clients' socket, the workers' socket, the database and the job queue.

manager          the loop: Manager
sockets          what is bound and read while the process has all its rights
group_commit     one transaction for all requests and messages that wait
client_requests  requests of clients
fair_share       what one client may take of the manager's time
worker_messages  what workers send
dispatcher       workers, jobs, and the tasks that they run
tasks            the tasks that need the state
confirmations    jobs that are undone unless they are confirmed
reloading        units, policy and keys, loaded again
retention        removes what is old
background       checks of stored instances, a part at a time
"""

from lmaps.manager.manager import Manager
from lmaps.manager.sockets import ManagerSockets, bind_manager_sockets

__all__ = ["Manager", "ManagerSockets", "bind_manager_sockets"]
