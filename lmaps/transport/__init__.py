"""Sockets and messages: the only room that knows ZeroMQ. Import from its modules.

addresses   URIs of endpoints
bind        server sockets bound to their addresses, before any client is served
curve       CURVE key pairs
zap         ZapAuthenticator: which peers may connect
server      ServerSocket: the manager's end; Poller: waits for server sockets
zmq_client  RemoteClientSocket (tcp) and WorkerSocket
zmtp        LocalClientSocket: a client's end on the manager's own host
selfcheck   checks at each start that libzmq reports the peer's credentials

Every message has the shape ``[identity, empty, body]``, so that REQ and DEALER clients look alike; a message of any
other shape is dropped and counted. Only a `BoundSocket` survives a fork: each process makes its own connections.
"""
