"""Checks of a daemon and its host: `lmaps doctor` and `lmapsd --check` choose from one list.

checks    the list of checks, and a run of each program's choice
context   the input of a check, and its result
programs  checks of the daemon, its libraries and its tools
files     checks of configuration, keys and who may write them
state     checks of database, disk, clock, backups, secrets, units

`lmaps doctor` asks the daemon that runs; without one it checks its files. A check that this user may not make is
`unknown`. `lmapsd --check` prints the errors that a start would report.
"""
