"""`lmaps doctor`: whether all is well with a daemon and its host, one small check after the other.

look      what the checks look at, and what they find
programs  the daemon, what it is made of, what it runs
files     who may write what
state     disk, clock, what was left behind, backups, secrets, units

With a daemon the checks ask it; without one they look at its files. What this user may not see is `unknown`.
"""
