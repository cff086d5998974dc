"""A command that is killed while it trains, to be resumed by another."""

KILLED = """
import os, signal
from elision import ensemble
from elision.cli import main
seen, train = [], ensemble.train
def dies(*args):
    seen.append(1)
    return train(*args) if len(seen) < 2 else os.kill(os.getpid(), signal.SIGKILL)
ensemble.train = dies
main()
"""
"""The command, killed with -9 as the second member of an average begins."""
