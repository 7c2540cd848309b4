"""The answers of the server, typed. They keep fields that this release does not know."""
