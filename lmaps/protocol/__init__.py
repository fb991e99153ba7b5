"""The messages of lMaPS: frozen values, JSON on every wire, one codec.

requests   what client and manager exchange
views      what answers carry of jobs, changesets, instances and units
work       what manager and worker exchange; imported from there, so that clients do not load it
codec      how messages become JSON objects and back
"""

from lmaps.protocol.codec import read_object
from lmaps.protocol.requests import MAX_BYTES, VERSION, Reply, Request, read_answer

__all__ = ["MAX_BYTES", "VERSION", "Reply", "Request", "read_answer", "read_object"]
