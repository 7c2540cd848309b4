"""Column types that several features need."""

from enum import StrEnum

from sqlalchemy import Enum, String


def checked_enum(kind: type[StrEnum], name: str) -> Enum:
    """Return a text column type for the values of `kind`, with a CHECK `ck_<table>_<name>`."""
    return Enum(
        kind,
        name=name,
        native_enum=False,
        create_constraint=True,
        length=40,
        values_callable=lambda members: [member.value for member in members],
        validate_strings=True,
    )


def byte_ordered(length: int) -> String:
    """Return a text column type that sorts by code points on both databases.

    PostgreSQL finds the texts with some beginning by an index only in this order.
    """
    return String(length).with_variant(String(length, collation="C"), "postgresql")
