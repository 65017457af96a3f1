"""The reader of Discogs data dumps: `penstock publish discogs FILE_OR_FOLDER`."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING

import orjson

from penstock.errors import UsageError
from penstock.reader import Outgoing
from penstock_workers.discogs.normalise import normalise
from penstock_workers.discogs.xml import TYPE_BY_ROOT, records

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from typing import BinaryIO

DUMP_FILE = re.compile(rf"(?P<dump>.+)_(?P<root>{'|'.join(TYPE_BY_ROOT)})\.xml(\.gz)?")


class DiscogsReader:
    """Sends every record of a dump to the exchange `discogs` with its type as routing key."""

    exchange = "discogs"

    def files(self, path: Path) -> Sequence[Path]:
        """`path` itself, or a folder's newest dump: artists, labels, masters, releases, as far as they are there.

        Raises UsageError where the folder holds none.
        """
        if not path.is_dir():
            return (path,)
        dumps: defaultdict[str, dict[str, Path]] = defaultdict(dict)
        try:
            # Of a file that is there twice the gzipped one, last in this order, counts: it has a checksum.
            for file in sorted(path.iterdir()):
                if found := DUMP_FILE.fullmatch(file.name):
                    dumps[found["dump"]][found["root"]] = file
        except OSError as error:
            raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
        if not dumps:
            wanted = "|".join(TYPE_BY_ROOT)
            raise UsageError(f"{path}: holds no Discogs dump; looked for *_{{{wanted}}}.xml and the same with .gz")
        newest = dumps[max(dumps)]  # discogs_20200806, so that the last name is the newest date
        return tuple(newest[root] for root in TYPE_BY_ROOT if root in newest)

    def read(self, stream: BinaryIO, name: str) -> Iterator[Outgoing]:
        """One message a record: a JSON object {"type", "id", …} of all the dump says of it.

        Raises UsageError, naming file and line, where the XML is broken or cut off, once all records
        before that place are out.
        """
        for element in records(stream, name):
            record = normalise(element)
            yield Outgoing(self.exchange, record["type"], orjson.dumps(record))


reader = DiscogsReader()
