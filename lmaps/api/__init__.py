"""What a client may ask the manager.

endpoint        `Endpoint`: one thing that clients may ask for, and the way of every request through it
endpoints       the endpoints, by resource
registry        the table of endpoints
arguments       arguments of endpoints as classes
context         what an endpoint is given, and the answers that are not given at once
legacy          the original's requests

authorize       whether the subject may ask for what it asks
audit           the rows that a request leaves in the audit
audit_throttle  limits the rows about denials

acceptance      documents that come in: checked, completed, identified
documents       stored documents that leave the daemon: in their public form
changes         the way of every change
kept_answers    answers to repeated requests
instance_ids    how an instance is named
revisions       how a revision is named

job_queue       jobs: queue, find, show
unit_status     how a unit stands
conformance     whether stored instances still fit their unit
"""
