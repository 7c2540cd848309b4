"""HTTP/1.1 on sockets: what is read of strangers, how long, how much, and from how many.

`uvicorn.Server` runs the application's lifespan and stops the process; this room accepts the
connections and speaks the protocol (decision 0033). Read `protocol.py` first.
"""
