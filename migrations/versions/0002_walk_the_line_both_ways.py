"""Walk the line both ways: the redo list becomes a path on the line, changes are found by instance too."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

DOCUMENTS = """
    first_revision INTEGER NOT NULL,
    before_key TEXT, before_given TEXT, before_completed TEXT, before_definition INTEGER,
    after_key TEXT, after_given TEXT, after_completed TEXT, after_definition INTEGER
"""
COLUMNS = """
    revision, instance_id, first_revision, before_key, before_given, before_completed, before_definition,
    after_key, after_given, after_completed, after_definition
"""


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
    op.execute(f"""
        CREATE TABLE change (
            id INTEGER NOT NULL,
            revision INTEGER NOT NULL,
            instance_id INTEGER NOT NULL,
            {DOCUMENTS},
            CONSTRAINT pk_change PRIMARY KEY (id),
            CONSTRAINT fk_change_revision FOREIGN KEY (revision) REFERENCES changeset (revision)
        )
    """)
    op.execute(f"INSERT INTO change ({COLUMNS}) SELECT {COLUMNS} FROM change_before ORDER BY revision, number")  # noqa: S608 (constants)
    op.execute("DROP TABLE change_before")
    op.create_table(
        "horizon",
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("unit", name="pk_horizon"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_change_revision", "change", ["revision"])
    op.create_index("ix_change_instance_id_revision", "change", ["instance_id", "revision"])


def downgrade():
    op.drop_table("horizon")
    op.execute("ALTER TABLE changeset ADD COLUMN redo_previous INTEGER")
    op.execute("UPDATE changeset SET redo_end = NULL")
    op.execute("ALTER TABLE change RENAME TO change_before")
    op.execute(f"""
        CREATE TABLE change (
            revision INTEGER NOT NULL,
            number INTEGER NOT NULL,
            instance_id INTEGER NOT NULL,
            {DOCUMENTS},
            CONSTRAINT pk_change PRIMARY KEY (revision, number),
            CONSTRAINT fk_change_revision FOREIGN KEY (revision) REFERENCES changeset (revision)
        ) WITHOUT ROWID
    """)
    op.execute(f"INSERT INTO change (number, {COLUMNS}) SELECT id, {COLUMNS} FROM change_before")  # noqa: S608 (constants)
    op.execute("DROP TABLE change_before")
