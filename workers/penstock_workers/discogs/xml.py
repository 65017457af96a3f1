"""The records of a Discogs dump as XML elements, one at a time, in constant memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from lxml import etree

from penstock.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from lxml.etree import _Element

#: The type of the records by the name of the root element that holds them.
TYPE_BY_ROOT = {"artists": "artist", "labels": "label", "masters": "master", "releases": "release"}
#: Bytes given to the parser at once; no more than a record beyond this is held.
CHUNK = 64 * 1024
#: Bytes within which a file must show its root element.
PROLOG = 1024 * 1024


def records(stream: BinaryIO, name: str) -> Iterator[_Element]:
    """Each record's element, in the file's order. It may be gone when the next one is asked for.

    Raises UsageError, naming file and line, where the XML is broken or cut off, once all records
    before that place are out; and where the file is no dump of Discogs.
    """
    head, root = _root(stream, name)
    if root not in TYPE_BY_ROOT:
        raise UsageError(f"{name}: its root element is <{root}>, not one of a Discogs dump ({', '.join(TYPE_BY_ROOT)})")
    parser = _parser("end", TYPE_BY_ROOT[root])
    chunk = head
    while True:
        failure = _feed(parser, chunk)
        yield from _finished(parser)
        if failure is not None:
            raise _broken(name, failure) from failure
        if not chunk:
            return
        chunk = stream.read(CHUNK)


def _feed(parser: etree.XMLPullParser[_Element], chunk: bytes) -> etree.XMLSyntaxError | None:
    """Give the parser a chunk, the empty one at the end. A fault is returned, for what came before it is still good."""
    try:
        if chunk:
            parser.feed(chunk)
        else:
            parser.close()
    except etree.XMLSyntaxError as error:
        return error
    return None


def _finished(parser: etree.XMLPullParser[_Element]) -> Iterator[_Element]:
    """The records that are complete; an element of the same name inside one (a label's sublabel) is none."""
    for _, element in parser.read_events():
        parent = element.getparent()
        if parent is None or parent.getparent() is not None:
            continue
        yield element
        while element.getprevious() is not None:
            del parent[0]


def _root(stream: BinaryIO, name: str) -> tuple[bytes, str]:
    """What was read to see the root element's name, and that name."""
    parser = _parser("start", None)
    head = b""
    while len(head) < PROLOG:
        chunk = stream.read(CHUNK)
        head += chunk
        failure = _feed(parser, chunk)
        for _, element in parser.read_events():
            if element.getroottree().docinfo.internalDTD is not None:
                raise UsageError(f"{name}: has a DOCTYPE, which no Discogs dump has: remove it")
            return head, str(element.tag)
        if failure is not None:
            raise _broken(name, failure) from failure
    raise UsageError(f"{name}: no root element in its first {PROLOG} bytes; is it a Discogs dump?")


def _parser(event: Literal["start", "end"], tag: str | None) -> etree.XMLPullParser[_Element]:
    """A parser that fetches nothing. Without `huge_tree`, libxml2's guards against inflated input hold.

    Entities are "internal" and not off: with False, lxml 6 reads on in silence behind an undeclared
    one. As a DOCTYPE is refused, none is ever declared.
    """
    return etree.XMLPullParser(
        events=(event,),
        tag=tag,
        resolve_entities="internal",
        no_network=True,
        load_dtd=False,
        remove_comments=True,
        remove_pis=True,
    )


def _broken(name: str, error: etree.XMLSyntaxError) -> UsageError:
    if not error.lineno:
        return UsageError(f"{name}: is empty; fetch the file again")
    reason = error.msg.split(", line ")[0] if error.msg else "no reason given"
    return UsageError(f"{name}, line {error.lineno}: broken or cut off XML: {reason}")
