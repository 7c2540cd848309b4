"""Dataset versions: a manifest, and packs that the versions of a project share.

A version of an earlier release keeps its pack; a server makes its manifest in the background.

Revision ID: 0011_manifests
Revises: 0010_import_options
Create Date: 2026-11-30
"""

import sqlalchemy as sa
from alembic import op

revision = "0011_manifests"
down_revision = "0010_import_options"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True).with_variant(sa.String(length=23), "sqlite")
READY_HAS_A_PACK = "(state = 'ready') = (pack_sha256 IS NOT NULL)"
READY_HAS_A_MANIFEST = "(state = 'ready') = (manifest_digest IS NOT NULL)"


def upgrade() -> None:
    op.create_table(
        "packs",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("project_id", sa.String(length=40), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_packs")),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_packs_project_id_projects")
        ),
        sa.UniqueConstraint("project_id", "sha256", name=op.f("uq_packs_project_id_sha256")),
    )
    op.create_index(op.f("ix_packs_sha256"), "packs", ["sha256"])
    op.create_table(
        "packed_bytes",
        sa.Column("pack_id", sa.String(length=40), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("pack_id", "sha256", name=op.f("pk_packed_bytes")),
        sa.ForeignKeyConstraint(
            ["pack_id"],
            ["packs.id"],
            name=op.f("fk_packed_bytes_pack_id_packs"),
            ondelete="CASCADE",
        ),
    )
    op.create_index(op.f("ix_packed_bytes_sha256"), "packed_bytes", ["sha256"])
    with op.batch_alter_table("dataset_versions", schema=None) as batch_op:
        batch_op.add_column(sa.Column("recipe", sa.JSON(), nullable=True))
        batch_op.add_column(sa.Column("listing_sha256", sa.String(length=64), nullable=True))
        batch_op.add_column(sa.Column("manifest_bytes", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("changes", sa.JSON(), nullable=True))
        batch_op.drop_constraint(op.f("ck_dataset_versions_ready_has_a_pack"), type_="check")
        batch_op.create_check_constraint(
            op.f("ck_dataset_versions_ready_has_a_manifest"), READY_HAS_A_MANIFEST
        )
    for column in ("listing_sha256", "manifest_digest"):
        op.create_index(op.f(f"ix_dataset_versions_{column}"), "dataset_versions", [column])
    op.create_table(
        "version_packs",
        sa.Column("version_id", sa.String(length=40), nullable=False),
        sa.Column("pack_id", sa.String(length=40), nullable=False),
        sa.PrimaryKeyConstraint("version_id", "pack_id", name=op.f("pk_version_packs")),
        sa.ForeignKeyConstraint(
            ["version_id"],
            ["dataset_versions.id"],
            name=op.f("fk_version_packs_version_id_dataset_versions"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["pack_id"], ["packs.id"], name=op.f("fk_version_packs_pack_id_packs")
        ),
    )
    op.create_index(op.f("ix_version_packs_pack_id"), "version_packs", ["pack_id"])


def downgrade() -> None:
    """Revert. Versions that this release verified cannot be trained on by an earlier one."""
    op.drop_table("version_packs")
    for column in ("manifest_digest", "listing_sha256"):
        op.drop_index(op.f(f"ix_dataset_versions_{column}"), table_name="dataset_versions")
    op.execute(
        "UPDATE dataset_versions SET pack_sha256 = manifest_digest"
        " WHERE state = 'ready' AND pack_sha256 IS NULL"
    )
    with op.batch_alter_table("dataset_versions", schema=None) as batch_op:
        batch_op.drop_constraint(op.f("ck_dataset_versions_ready_has_a_manifest"), type_="check")
        batch_op.create_check_constraint(
            op.f("ck_dataset_versions_ready_has_a_pack"), READY_HAS_A_PACK
        )
        for column in ("changes", "manifest_bytes", "listing_sha256", "recipe"):
            batch_op.drop_column(column)
    op.drop_table("packed_bytes")
    op.drop_table("packs")
