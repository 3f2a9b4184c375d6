"""What every table shares: the metadata, constraint names, UTC times and JSON kept as text. Only migrations load it."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import DateTime, MetaData, String, Text, func
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """The one declarative base; constraint names are predictable, so that migrations can address them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {dt.datetime: DateTime(timezone=True)}  # noqa: RUF012 - SQLAlchemy's own hook


class Timestamps:
    """`created_at` and `updated_at`, by the database's clock."""

    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())


class JsonText(Text):
    """A JSON value kept in a TEXT column, as the schema's document asks."""


class JsonVarchar(String):
    """The same for a column spelled VARCHAR."""
