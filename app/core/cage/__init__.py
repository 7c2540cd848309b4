"""The cage: what a process that handles strangers' data takes away from itself.

Standard library only, and no threads: a child of the preloaded parent enters a cage, too.
"""
