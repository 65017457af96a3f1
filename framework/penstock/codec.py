"""Decode and validate: a Delivery becomes a Record or Poison. Nothing in a body can raise out of here."""

from __future__ import annotations

from operator import index
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import from_json

from penstock.idempotency import content_hash
from penstock.outcome import Poison
from penstock.record import Record

if TYPE_CHECKING:
    from penstock.delivery import Delivery
    from penstock.settings import Limits
    from penstock.worker import Worker


#: More problems than this in one record are counted, not listed: a list of millions has as many.
MOST_PROBLEMS = 100


class Codec:
    """Decodes the deliveries of one worker."""

    def __init__(self, worker: Worker, limits: Limits) -> None:
        self._worker = worker
        self.limits = limits
        #: The adapter's own method would ask for seven options anew each time.
        self._validate = TypeAdapter[Any](worker.model).validator.validate_json
        #: Types of values that were met, and whether they may have a version.
        self._versioned: dict[type, bool] = {}
        if isinstance(worker.model, type):
            self._versioned[worker.model] = may_have_version(worker.model)

    def decode(self, delivery: Delivery) -> Record | Poison:
        """The record of a delivery, or why there is none: too_large, not_json, too_deep, invalid, unmappable."""
        worker = self._worker
        body = delivery.body
        if len(body) > self.limits.body_bytes:
            text = f"the body has {len(body)} bytes; limits.body_bytes is {self.limits.body_bytes}"
            return Poison("too_large", "BodyTooLarge", text)
        # All of these may stand in a string as well: then the body is read once more than need be. A single byte is
        # looked for first, because it is found faster than a word.
        odd = (
            (b"N" in body and b"NaN" in body)
            or (b"I" in body and b"Infinity" in body)
            or body.count(b"[") + body.count(b"{") > self.limits.depth
        )
        if odd and (fault := self._fault(body)):
            return fault
        try:
            # Validated from the bytes, so that a strict model gets JSON's rules (a date is text there).
            value = self._validate(body)
            row = worker.mapping(value)
            if worker.version:
                version = worker.version(value)
            else:
                kind = type(value)
                if kind not in self._versioned:
                    self._versioned[kind] = may_have_version(kind)
                version = getattr(value, "version", None) if self._versioned[kind] else None
            if version is not None:
                version = index(version)  # a TypeError where it is no integer
            natural_key = worker.natural_key(value)
            hash(natural_key)
            hashed = content_hash(row, version, worker.mapping_version)
            return Record(delivery, row, natural_key, hashed, version, worker.key_fields)
        except ValidationError as error:
            return self._fault(body) or Poison("invalid", "ValidationError", explain(error))
        except Exception as error:  # noqa: BLE001 validators and mapping are the user's; the fuse stops one broken for all
            return Poison("unmappable", type(error).__name__, str(error))

    def _fault(self, body: bytes) -> Poison | None:
        """Why a body is none that any model could take, if it is so."""
        try:
            document = from_json(body, allow_inf_nan=False)
        except ValueError as error:
            reason = "too_deep" if "recursion limit" in str(error) else "not_json"
            return Poison(reason, type(error).__name__, str(error))
        if deeper_than(document, self.limits.depth):
            return Poison("too_deep", "TooDeep", f"the body is nested deeper than limits.depth = {self.limits.depth}")
        return None


def may_have_version(kind: type) -> bool:
    """Whether values of a type may have a version by themselves.

    A type is asked once: asking each value of a model for what it lacks costs more than to validate it.
    """
    if not issubclass(kind, BaseModel) or hasattr(kind, "version") or "version" in kind.model_fields:
        return True
    asks = getattr(kind, "__getattr__", None) is not getattr(BaseModel, "__getattr__", None)
    return asks or kind.model_config.get("extra") == "allow"


def deeper_than(document: Any, limit: int) -> bool:
    """Whether lists and objects are nested more than `limit` deep. Walks level by level, without recursion."""
    level = [document] if isinstance(document, (dict, list)) else []
    for _ in range(limit):
        level = [
            child
            for parent in level
            for child in (parent.values() if isinstance(parent, dict) else parent)
            if isinstance(child, (dict, list))
        ]
        if not level:
            return False
    return bool(level)


def explain(error: ValidationError) -> str:
    """The errors of a model as `field: what is wrong`, without any value of the record."""
    if error.error_count() > MOST_PROBLEMS:
        return f"{error.error_count()} values are not as the model wants them"
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    return "; ".join(f"{'.'.join(map(str, problem['loc'])) or 'record'}: {problem['msg']}" for problem in problems)
