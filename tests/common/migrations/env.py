from services.common.database import run_migrations
from tests.common.notes import Base

run_migrations(Base.metadata)
