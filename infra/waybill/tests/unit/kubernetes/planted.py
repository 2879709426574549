"""Plants a mistake into rendered manifests: something else, something more or nothing where something was."""

from typing import Any, NamedTuple

Resource = dict[str, Any]
GONE = object()


class More(NamedTuple):
    """One more entry of a list."""

    entry: Any


class Mistake(NamedTuple):
    """What somebody got wrong: at `path` in `resource` stands `value`; which check finds it, and what that says.

    A path is words: keys, numbers in lists, and [name] for the entry of that name. A resource is `Kind/name`; the name
    of one that kustomize gives a suffix ends with a dash.
    """

    check: str
    overlay: str
    says: str
    resource: str
    path: str = ""
    value: Any = GONE


def plant(resources: list[Resource], mistake: Mistake) -> None:
    """Make the mistake."""
    kind, _, name = mistake.resource.partition("/")
    (found,) = (it for it in resources if it["kind"] == kind and _is_named(it, name))
    if not mistake.path:
        resources.remove(found)
        if mistake.value is not GONE:
            resources.extend((found, {**found, "metadata": {**found["metadata"], "name": mistake.value}}))
        return
    *way, last = mistake.path.split()
    place: Any = found
    for word in way:
        place = place[_key(place, word)]
    if isinstance(mistake.value, More):
        place[last].append(mistake.value.entry)
    elif mistake.value is GONE:
        del place[_key(place, last)]
    else:
        place[last if isinstance(place, dict) else _key(place, last)] = mistake.value


def _is_named(resource: Resource, name: str) -> bool:
    actual: str = resource["metadata"]["name"]
    return actual.startswith(name) if name.endswith("-") else actual == name


def _key(place: Any, word: str) -> Any:
    if not isinstance(place, list):
        return word
    if word.startswith("["):
        return next(number for number, entry in enumerate(place) if entry["name"] == word.strip("[]"))
    return int(word)
