#!/bin/sh
# What the official images of MySQL, MongoDB and PostgreSQL do at their start, as far as the compose
# file uses it: make the data on the first one, as a user of their own, and then serve them.
set -eu

value_of() { # VARIABLE: its value, or what is in the file that VARIABLE_FILE names
    eval "file=\${$1_FILE:-} text=\${$1:-}"
    if [ -n "$file" ]; then cat "$file"; else printf %s "$text"; fi
}

as() { # USER COMMAND...: become that user
    user=$1
    shift
    exec setpriv --reuid="$user" --regid="$user" --init-groups -- "$@"
}

case "${1:-}" in
mysqld)
    data=/var/lib/mysql
    mkdir -p /run/mysqld
    chown -R mysql:mysql /run/mysqld "$data"
    if [ ! -d "$data/mysql" ]; then
        mariadb-install-db --no-defaults --user=mysql --datadir="$data" \
            --auth-root-authentication-method=normal --skip-test-db --skip-name-resolve >/dev/null
        mariadbd --no-defaults --user=mysql --datadir="$data" --bootstrap <<SQL
FLUSH PRIVILEGES;
CREATE DATABASE \`$MYSQL_DATABASE\`;
CREATE USER '$MYSQL_USER'@'%' IDENTIFIED BY '$(value_of MYSQL_PASSWORD)';
GRANT ALL ON \`$MYSQL_DATABASE\`.* TO '$MYSQL_USER'@'%';
ALTER USER 'root'@'localhost' IDENTIFIED BY '$(value_of MYSQL_ROOT_PASSWORD)';
SQL
    fi
    shift
    as mysql mariadbd --no-defaults --datadir="$data" --bind-address=0.0.0.0 --skip-name-resolve \
        --socket=/run/mysqld/mysqld.sock --character-set-server=utf8mb4 "$@"
    ;;
mongod)
    if [ "$(id -u)" = 0 ]; then
        mkdir -p /data/db
        chown -R mongodb:mongodb /data/db
        as mongodb "$0" "$@" # before any file with a password is read
    fi
    password=$(value_of MONGO_INITDB_ROOT_PASSWORD)
    : >/tmp/secantusd.toml
    serve="secantusd-py --config /tmp/secantusd.toml --storage-path /data/db --standalone --sync-on-commit --log-level WARNING"
    if [ ! -e /data/db/.prepared ]; then
        [ -n "$password" ] || { echo "MONGO_INITDB_ROOT_PASSWORD is not set" >&2; exit 1; }
        $serve --host 127.0.0.1 --port 27017 &
        server=$!
        PASSWORD=$password python3 - <<PYTHON
import os, pymongo
admin = pymongo.MongoClient("127.0.0.1", directConnection=True).admin
user = "$MONGO_INITDB_ROOT_USERNAME"
admin.command("createUser", user, pwd=os.environ["PASSWORD"], roles=["root"])
PYTHON
        kill "$server"
        wait "$server" || true
        touch /data/db/.prepared
    fi
    unset MONGO_INITDB_ROOT_PASSWORD password
    exec $serve --auth --host 0.0.0.0 --port 27017
    ;;
postgres)
    data=/var/lib/postgresql/data
    if [ "$(id -u)" = 0 ]; then
        mkdir -p "$data" /run/postgresql
        chown -R postgres:postgres "$data" /run/postgresql
        chmod 700 "$data"
        POSTGRES_PASSWORD=$(value_of POSTGRES_PASSWORD)
        export POSTGRES_PASSWORD
        unset POSTGRES_PASSWORD_FILE
        as postgres "$0" "$@"
    fi
    if [ ! -e "$data/PG_VERSION" ]; then
        (umask 077 && printf %s "$POSTGRES_PASSWORD" >/tmp/password)
        initdb --pgdata="$data" --username="$POSTGRES_USER" --pwfile=/tmp/password \
            --auth=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8 >/dev/null
        rm /tmp/password
        echo "host all all all scram-sha-256" >>"$data/pg_hba.conf"
        echo "CREATE DATABASE \"$POSTGRES_DB\"" | postgres --single -D "$data" postgres >/dev/null
    fi
    unset POSTGRES_PASSWORD
    shift
    exec postgres -D "$data" -c listen_addresses='*' "$@"
    ;;
*)
    exec "$@"
    ;;
esac
