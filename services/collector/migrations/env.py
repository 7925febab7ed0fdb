"""alembic's entry: the collector's tables."""

from services.collector.models import Base
from services.common.database import run_migrations

run_migrations(Base.metadata)
