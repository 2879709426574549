"""Finds code outside the allowed modules that ends a transaction, or opens one that it would have to end.

    python infra/checks/one_place_ends_transactions.py [FOLDER ...]

PostgreSQL transactions end in `exactly_once/transactions.py` and `chassis/database.py`, Kafka's in
`exactly_once/kafka/producer.py`. A service never says commit. Exits 1 and names the lines.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ENDS = {"commit", "rollback", "begin", "begin_nested", "commit_transaction", "abort_transaction", "begin_transaction"}
ALLOWED = (
    "shared/exactly_once/src/exactly_once/transactions.py",
    "shared/exactly_once/src/exactly_once/kafka/producer.py",
    "shared/chassis/src/chassis/database.py",
)
EVERYWHERE = ("shared", "services")


def violations(source: str, name: str) -> Iterator[str]:
    """Yield a line for each call in `source` that ends or opens a transaction."""
    for node in ast.walk(ast.parse(source, name)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ENDS:
            yield f"{name}:{node.lineno}: .{node.func.attr}() outside the modules that end transactions"


def main(folders: list[str]) -> int:
    """Check every source file below the folders, tests and migrations left out."""
    files = [path for folder in folders or EVERYWHERE for path in sorted(Path(folder).rglob("src/**/*.py"))]
    checked = [path for path in files if path.as_posix() not in ALLOWED and "migrations" not in path.parts]
    found = [line for path in checked for line in violations(path.read_text(), path.as_posix())]
    print("\n".join(found) or f"{len(checked)} files end no transaction")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
