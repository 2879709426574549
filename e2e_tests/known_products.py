"""What schemathesis is told of the shop: a product that exists, so that some of what it makes up is accepted."""

from typing import Any

import schemathesis

PRODUCT = "lantern"


@schemathesis.hook
def map_body(_: schemathesis.HookContext, body: Any) -> Any:
    """Return a body whose lines are of what there is, where they are lines and their quantities odd."""
    lines = body.get("lines") if isinstance(body, dict) else None
    for line in lines if isinstance(lines, list) else ():
        if isinstance(line, dict) and isinstance(line.get("sku"), str) and line.get("quantity") in range(1, 1_000, 2):
            line["sku"] = PRODUCT
    return body
