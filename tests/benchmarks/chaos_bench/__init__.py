"""What `chaos.py` and the tests of faults are made of: raylets on this machine, a user, faults, and the evidence."""
