"""The SQL that is composed: every identifier quoted, every value a parameter."""

from __future__ import annotations

import pytest

from penstock_workers.table.statements import append, create_events, create_states, quote, template, upsert
from penstock_workers.table.table import Table

ARTISTS = Table("artists", {"data_id": "text", "data": "jsonb"}, key=("data_id",))
WIDE = Table("music.select", {"note": "varchar(5)", "b": "integer", "a": "numeric(10, 2)"}, key=("a", "b"))


def flat(statement: str) -> str:
    """One line, without comments."""
    lines = (line for line in statement.splitlines() if not line.startswith("--"))
    return " ".join(" ".join(lines).split())


def test_identifiers_are_quoted() -> None:
    assert quote("select") == '"select"'
    assert quote("music.Artists") == '"music"."Artists"'


@pytest.mark.parametrize("name", ['a"b', "a b", "", "a;--", "a.", 'x" cascade; --'])
def test_what_is_no_identifier_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="identifier"):
        quote(name)


def test_a_table_of_states() -> None:
    assert flat(create_states(ARTISTS)) == (
        'CREATE TABLE IF NOT EXISTS "artists" ( "data_id" text, hash text, version bigint, "data" jsonb, '
        'updated_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY ("data_id") )'
    )


def test_a_table_of_states_with_a_compound_key() -> None:
    assert flat(create_states(WIDE)) == (
        'CREATE TABLE IF NOT EXISTS "music"."select" ( "a" numeric(10, 2), "b" integer, hash text, version bigint, '
        '"note" varchar(5), updated_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY ("a", "b") )'
    )


def test_a_table_of_events_has_no_key_and_no_hash() -> None:
    assert flat(create_events(Table("plays", {"at": "timestamptz", "data": "jsonb"}))) == (
        'CREATE TABLE IF NOT EXISTS "plays" ( "at" timestamptz, "data" jsonb, '
        "written_at timestamptz NOT NULL DEFAULT now() )"
    )


def test_an_upsert() -> None:
    assert flat(upsert(ARTISTS, ("data_id", "data"))) == (
        'WITH written AS ( INSERT INTO "artists" AS stored ("data_id", "data", "hash", "version") '
        'SELECT "data_id", "data", "hash", "version" '
        "FROM unnest($1::text[], $2::jsonb[], $3::text[], $4::bigint[]) "
        'AS fresh ("data_id", "data", "hash", "version") ORDER BY "data_id" '
        'ON CONFLICT ("data_id") DO UPDATE SET "data" = excluded."data", hash = excluded.hash, '
        "version = coalesce(excluded.version, stored.version), updated_at = now() "
        "WHERE (stored.hash = excluded.hash AND stored.hash <> '') IS NOT TRUE "
        "AND (stored.version > excluded.version) IS NOT TRUE "
        'RETURNING "data_id" ) SELECT array_agg(fresh.penstock_place) '
        'FROM unnest($1::text[]) WITH ORDINALITY AS fresh ("data_id", penstock_place) JOIN written USING ("data_id")'
    )


def test_an_upsert_sets_only_the_columns_it_is_given() -> None:
    statement = flat(upsert(WIDE, ("a", "b")))
    assert '"note"' not in statement
    assert "SET hash = excluded.hash" in statement
    statement = flat(upsert(WIDE, ("a", "b", "note")))
    assert 'SET "note" = excluded."note", hash = excluded.hash' in statement
    assert "unnest($1::numeric[], $2::integer[], $3::varchar[], $4::text[], $5::bigint[])" in statement
    assert 'FROM unnest($1::numeric[], $2::integer[]) WITH ORDINALITY AS fresh ("a", "b", penstock_place)' in statement


def test_an_append() -> None:
    assert flat(append(Table("plays", {"at": "timestamptz", "data": "jsonb"}))) == (
        'INSERT INTO "plays" ("at", "data") SELECT "at", "data" '
        'FROM unnest($1::timestamptz[], $2::jsonb[]) AS fresh ("at", "data")'
    )


@pytest.mark.parametrize("name", ["create", "upsert", "append"])
def test_templates_hold_no_identifier_of_a_user_and_no_value(name: str) -> None:
    assert '"' not in template(name)
    assert "%s" not in template(name)
