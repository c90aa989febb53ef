"""Short links in messages, and the secret behind them."""

from alembic import op

revision = "0013"
down_revision = "0012"

CHANGES = """
CREATE TABLE message_links (
    code TEXT NOT NULL,
    kind TEXT NOT NULL,
    enrolment_id UUID NOT NULL,
    step TEXT NOT NULL,
    entry_month DATE NOT NULL,
    channel TEXT NOT NULL,
    url TEXT NOT NULL,
    name TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_message_links PRIMARY KEY (code),
    CONSTRAINT ck_message_links_kind CHECK (kind IN ('link', 'open'))
);

CREATE INDEX ix_message_links_enrolment_id ON message_links (enrolment_id);

CREATE INDEX ix_message_links_expires_at ON message_links (expires_at);

CREATE TABLE link_secrets (
    id SMALLINT NOT NULL,
    secret BYTEA NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_link_secrets PRIMARY KEY (id),
    CONSTRAINT ck_link_secrets_single CHECK (id = 1)
)
"""


def upgrade() -> None:
    for statement in CHANGES.split(";\n"):
        if statement.strip():
            op.execute(statement)
