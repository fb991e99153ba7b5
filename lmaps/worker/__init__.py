"""The worker: a process that runs one task of the manager at a time.

worker     Worker: its loop, and the exchange with the manager
tasks      the table of tasks
execution  a running job
"""
