"""How SQLite is used: durably, with readers and one writer side by side."""

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine


def prepare_sqlite(engine: Engine) -> None:
    """Make SQLite durable and let readers and one writer work side by side.

    The driver's own transaction handling starts writes late, where they fail instead of waiting, so BEGIN is ours:
    https://docs.sqlalchemy.org/en/21/dialects/sqlite.html#serializable-isolation-savepoints-transactional-ddl
    """

    @sa.event.listens_for(engine, "connect")
    def _configure(connection: sa.engine.interfaces.DBAPIConnection, _: object) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=10000"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get("writes") else "BEGIN")
