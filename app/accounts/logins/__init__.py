"""Logins of programs: a signed-in user confirms a short code, and the program gets a key.

begun ──► waiting ──► confirmed ──► used: the program has its key
              └─────► refused
"""
