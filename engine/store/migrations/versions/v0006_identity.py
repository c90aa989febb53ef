"""Identities: evidence of what belongs together, merges, what people have to look at, provenance."""

from alembic import op

revision = "0006"
down_revision = "0005"

CHANGES = """
CREATE TABLE identity_problems (
    kind TEXT NOT NULL,
    source TEXT NOT NULL,
    reason TEXT NOT NULL,
    seen BIGINT NOT NULL,
    first_seen_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    last_seen_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_identity_problems PRIMARY KEY (kind, source, reason)
);

ALTER TABLE profiles ADD COLUMN provenance JSONB DEFAULT '{}'::jsonb NOT NULL;

CREATE INDEX ix_profiles_merged ON profiles (id, merged_into) WHERE merged_into IS NOT NULL;

CREATE TABLE identity_links (
    kind TEXT NOT NULL,
    value TEXT NOT NULL,
    to_kind TEXT NOT NULL,
    to_value TEXT NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    verdict TEXT,
    CONSTRAINT pk_identity_links PRIMARY KEY (kind, value, to_kind, to_value),
    CONSTRAINT ck_identity_links_verdict CHECK (verdict IN ('together', 'apart', 'refused'))
);

CREATE INDEX ix_identity_links_to_kind_to_value ON identity_links (to_kind, to_value);

CREATE TABLE merges (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    survivor UUID NOT NULL,
    loser UUID NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    merged_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    before JSONB DEFAULT '{}'::jsonb NOT NULL,
    undone_at TIMESTAMP WITH TIME ZONE,
    undone_by TEXT,
    CONSTRAINT pk_merges PRIMARY KEY (id)
);

CREATE INDEX ix_merges_survivor ON merges (survivor);

CREATE INDEX ix_merges_loser ON merges (loser);

CREATE TABLE identity_reviews (
    id UUID NOT NULL,
    reason TEXT NOT NULL,
    kind TEXT NOT NULL,
    one_kind TEXT NOT NULL,
    one_value TEXT NOT NULL,
    two_kind TEXT,
    two_value TEXT,
    via_kind TEXT,
    via_value TEXT,
    seen BIGINT DEFAULT 1 NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    found_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    decision TEXT,
    decided_by TEXT,
    decided_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_identity_reviews PRIMARY KEY (id),
    CONSTRAINT ck_identity_reviews_reason CHECK (reason IN ('two_of_a_kind', 'too_many')),
    CONSTRAINT ck_identity_reviews_decision CHECK (decision IN ('same', 'apart'))
);

CREATE INDEX ix_identity_reviews_open ON identity_reviews (at, id) WHERE decision IS NULL;

CREATE TABLE suppressions (
    digest TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_suppressions PRIMARY KEY (digest)
);

CREATE TABLE erasures (
    profile_id UUID NOT NULL,
    enrolments JSONB DEFAULT '[]'::jsonb NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    erased_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    erased_by TEXT,
    CONSTRAINT pk_erasures PRIMARY KEY (profile_id)
)
"""


def upgrade() -> None:
    for statement in CHANGES.split(";\n"):
        if statement.strip():
            op.execute(statement)
