"""The Cypher that a pattern makes."""

from __future__ import annotations

from graphs import MUSIC
from penstock_workers.graph.pattern import Edge, Node, Pattern
from penstock_workers.graph.statements import compose

STATEMENTS = compose(MUSIC)


def test_one_constraint_a_label() -> None:
    assert STATEMENTS.constraints[0] == (
        "CREATE CONSTRAINT `penstock_Artist_id` IF NOT EXISTS FOR (n:`Artist`) REQUIRE n.`id` IS UNIQUE"
    )
    assert len(STATEMENTS.constraints) == len(MUSIC.labels)


def test_the_gate_changes_nothing_that_is_stored() -> None:
    assert STATEMENTS.gate["artist"].splitlines() == [
        "UNWIND $rows AS r MERGE (n:`Artist` {`id`: r.id})",
        "WITH n, r WHERE n.hash IS NULL OR n.hash = '' OR n.hash <> r.hash",
        "SET n += {}",
        "RETURN collect([r.id, n.hash, n.version, size(keys(n)) > 1])",
    ]


def test_a_first_write_prunes_nothing() -> None:
    assert STATEMENTS.write["release"].splitlines() == [
        "UNWIND $rows AS r MATCH (n:`Release` {`id`: r.id}) SET n = r.properties",
        "FOREACH (i IN r.edges.`artists` | MERGE (x:`Artist` {`id`: i}) MERGE (n)-[k:`BY`]->(x))",
        "FOREACH (i IN r.edges.`master_id` | MERGE (x:`Master` {`id`: i}) MERGE (n)-[k:`DERIVED_FROM`]->(x))",
        "FOREACH (i IN r.edges.`genres` | MERGE (x:`Genre` {`name`: i}) MERGE (n)-[k:`IS`]->(x))",
        "FOREACH (i IN r.edges.`styles` | MERGE (x:`Style` {`name`: i}) MERGE (n)-[k:`IS`]->(x))",
    ]


def test_a_rewrite_drops_own_edges_and_gives_up_claims_before_it_connects() -> None:
    assert STATEMENTS.rewrite["artist"].splitlines()[1:] == [
        "FOREACH (k IN [(n)<-[k:`ALIAS_OF`]-() WHERE NOT startNode(k).`id` IN r.edges.`aliases` | k] | DELETE k)",
        (
            "FOREACH (k IN [(n)<-[k:`MEMBER_OF`]-() WHERE k.by_end AND"
            " NOT startNode(k).`id` IN r.edges.`members` | k] | REMOVE k.by_end)"
        ),
        (
            "FOREACH (k IN [(n)-[k:`MEMBER_OF`]->() WHERE k.by_start AND"
            " NOT endNode(k).`id` IN r.edges.`groups` | k] | REMOVE k.by_start)"
        ),
        "FOREACH (k IN [(n)-[k:`MEMBER_OF`]-() WHERE k.by_start IS NULL AND k.by_end IS NULL | k] | DELETE k)",
        *STATEMENTS.write["artist"].splitlines()[1:],
    ]


def test_a_rewrite_tells_labels_apart_where_one_type_leads_to_several() -> None:
    drops = [line for line in STATEMENTS.rewrite["master"].splitlines() if "DELETE" in line]
    assert drops == [
        "FOREACH (k IN [(n)-[k:`BY`]->() WHERE NOT endNode(k).`id` IN r.edges.`artists` | k] | DELETE k)",
        (
            "FOREACH (k IN [(n)-[k:`IS`]->() WHERE 'Genre' IN labels(endNode(k)) AND"
            " NOT endNode(k).`name` IN r.edges.`genres` | k] | DELETE k)"
        ),
        (
            "FOREACH (k IN [(n)-[k:`IS`]->() WHERE 'Style' IN labels(endNode(k)) AND"
            " NOT endNode(k).`name` IN r.edges.`styles` | k] | DELETE k)"
        ),
    ]


def test_a_rewrite_spares_what_another_kind_claims_from_its_own_end() -> None:
    """Labels owe their artists, artists claim their fans, by one type: an artist drops no edge of a label."""
    artist = Node("artist", "Artist", (Edge("fans", "LIKES", "in", "Fan"),))
    label = Node("label", "Label", (Edge("artists", "LIKES", "out", "Artist"),))
    [drop] = [line for line in compose(Pattern((artist, label))).rewrite["artist"].splitlines() if "DELETE" in line]
    assert "'Fan' IN labels(startNode(k))" in drop


def test_no_comment_is_sent() -> None:
    texts = [*STATEMENTS.constraints, STATEMENTS.online]
    texts += [text for by_kind in (STATEMENTS.gate, STATEMENTS.write, STATEMENTS.rewrite) for text in by_kind.values()]
    assert not [text for text in texts if "//" in text or "@" in text]
