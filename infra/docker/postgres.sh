#!/bin/sh
# Stands before the server's own name in PATH: the image's entrypoint exports the password, and the server needs none.
exec env -u POSTGRES_PASSWORD /usr/lib/postgresql/18/bin/postgres "$@"
