"""The manager: owns the clients' socket, the workers' socket, the database and the job queue.

manager          the loop: Manager
group_commit     one transaction for all work that waits
client_requests  requests of clients
dispatcher       workers, jobs, and the tasks that they run
worker_messages  what workers say
tasks            the tasks that need the state
confirmations    what is undone unless it is confirmed
retention        what goes by itself when it is old
background       what is found out when there is time
"""

from lmaps.manager.manager import Manager, ManagerSockets, bind_manager_sockets

__all__ = ["Manager", "ManagerSockets", "bind_manager_sockets"]
