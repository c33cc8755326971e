"""Where results live: ClickHouse on a server or inside this process, and a reference store in memory.

``open_store("embedded:./data")`` gives a store; nothing of the driver or the engine is imported before that
call.
"""

from evalsvc.store.address import open_store
from evalsvc.store.clickhouse import ClickHouseStore
from evalsvc.store.memory import MemoryStore
from evalsvc.store.migrate import Retention

__all__ = ["ClickHouseStore", "MemoryStore", "Retention", "open_store"]
