"""Store each document once, walk the line both ways, find changes by instance."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade():
    op.execute("""
        UPDATE changeset SET redo_end = (
            WITH RECURSIVE list (target, previous) AS (
                SELECT undo.target, undo.redo_previous FROM changeset AS undo
                WHERE undo.revision = changeset.redo_end
                UNION ALL
                SELECT undo.target, undo.redo_previous FROM changeset AS undo
                JOIN list ON undo.revision = list.previous
            )
            SELECT target FROM list WHERE previous IS NULL
        ) WHERE redo_end IS NOT NULL
    """)
    op.execute("ALTER TABLE changeset DROP COLUMN redo_previous")
    op.execute("ALTER TABLE change RENAME TO change_before")
    op.execute("ALTER TABLE instance RENAME TO instance_before")
    _make_tables()
    op.execute("""
        INSERT INTO document (instance_id, key, given, completed, definition)
        SELECT instance_id, before_key, before_given, before_completed, before_definition
        FROM change_before WHERE before_key IS NOT NULL
        UNION
        SELECT instance_id, after_key, after_given, after_completed, after_definition
        FROM change_before WHERE after_key IS NOT NULL
    """)
    # for the look-ups in the next statement, which would read all documents for each change
    op.execute("CREATE INDEX document_of ON document (instance_id)")
    op.execute("""
        INSERT INTO change (revision, instance_id, first_revision, before_document, after_document)
        SELECT revision, instance_id, first_revision,
            (SELECT id FROM document WHERE instance_id = old.instance_id AND key = before_key AND given = before_given
                AND completed = before_completed AND definition = before_definition),
            (SELECT id FROM document WHERE instance_id = old.instance_id AND key = after_key AND given = after_given
                AND completed = after_completed AND definition = after_definition)
        FROM change_before AS old ORDER BY revision, number
    """)
    op.execute("""
        INSERT INTO instance (id, unit, key, document, first_revision, revision)
        SELECT id, unit, key,
            (SELECT after_document FROM change WHERE instance_id = old.id ORDER BY revision DESC LIMIT 1),
            first_revision, revision
        FROM instance_before AS old
    """)
    op.execute("DROP INDEX document_of")
    op.execute("DROP TABLE change_before")
    op.execute("DROP TABLE instance_before")
    op.create_index("ix_change_revision", "change", ["revision"])
    op.create_index("ix_change_instance_id_revision", "change", ["instance_id", "revision"])


def _make_tables():
    op.create_table(
        "document",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("instance_id", sa.Integer(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("given", sa.Text(), nullable=False),
        sa.Column("completed", sa.Text(), nullable=False),
        sa.Column("definition", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["definition"], ["unit.id"], name="fk_document_definition"),
        sa.PrimaryKeyConstraint("id", name="pk_document"),
    )
    op.create_table(
        "change",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("instance_id", sa.Integer(), nullable=False),
        sa.Column("first_revision", sa.Integer(), nullable=False),
        sa.Column("before_document", sa.Integer(), nullable=True),
        sa.Column("after_document", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["revision"], ["changeset.revision"], name="fk_change_revision"),
        sa.PrimaryKeyConstraint("id", name="pk_change"),
    )
    op.create_table(
        "instance",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("document", sa.Integer(), nullable=False),
        sa.Column("first_revision", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_instance"),
        sa.UniqueConstraint("unit", "key", name="uq_instance_unit_key"),
    )
    op.create_table(
        "horizon",
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("unit", name="pk_horizon"),
        sqlite_with_rowid=False,
    )


def downgrade():
    op.drop_table("horizon")
    op.execute("ALTER TABLE changeset ADD COLUMN redo_previous INTEGER")
    op.execute("UPDATE changeset SET redo_end = NULL")
    op.execute("ALTER TABLE change RENAME TO change_after")
    op.execute("ALTER TABLE instance RENAME TO instance_after")
    op.execute("""
        CREATE TABLE change (
            revision INTEGER NOT NULL,
            number INTEGER NOT NULL,
            instance_id INTEGER NOT NULL,
            first_revision INTEGER NOT NULL,
            before_key TEXT, before_given TEXT, before_completed TEXT, before_definition INTEGER,
            after_key TEXT, after_given TEXT, after_completed TEXT, after_definition INTEGER,
            CONSTRAINT pk_change PRIMARY KEY (revision, number),
            CONSTRAINT fk_change_revision FOREIGN KEY (revision) REFERENCES changeset (revision)
        ) WITHOUT ROWID
    """)
    op.execute("""
        INSERT INTO change
        SELECT revision, new.id, new.instance_id, first_revision,
            old.key, old.given, old.completed, old.definition, now.key, now.given, now.completed, now.definition
        FROM change_after AS new
        LEFT JOIN document AS old ON old.id = before_document
        LEFT JOIN document AS now ON now.id = after_document
    """)
    op.execute("""
        CREATE TABLE instance (
            id INTEGER NOT NULL,
            unit TEXT NOT NULL,
            key TEXT NOT NULL,
            given TEXT NOT NULL,
            completed TEXT NOT NULL,
            definition INTEGER NOT NULL,
            first_revision INTEGER NOT NULL,
            revision INTEGER NOT NULL,
            CONSTRAINT fk_instance_definition FOREIGN KEY (definition) REFERENCES unit (id),
            CONSTRAINT pk_instance PRIMARY KEY (id),
            CONSTRAINT uq_instance_unit_key UNIQUE (unit, key)
        )
    """)
    op.execute("""
        INSERT INTO instance
        SELECT new.id, unit, new.key, given, completed, definition, first_revision, revision
        FROM instance_after AS new JOIN document ON document.id = new.document
    """)
    op.execute("DROP TABLE change_after")
    op.execute("DROP TABLE instance_after")
    op.execute("DROP TABLE document")
