-- Ledger of the gateway's usage journal: an entry is applied when, and only when, its id stands here.
-- It is written in the same transaction as the usage rows and the spend, so an entry that is read again
-- after a crash is recognised and dropped. Rows of deleted journal files are removed by the gateway.
CREATE SCHEMA IF NOT EXISTS lab;

CREATE TABLE IF NOT EXISTS lab.spend_journal (
    entry_id    uuid PRIMARY KEY,
    journal_id  uuid NOT NULL,
    segment     text NOT NULL,
    applied_at  timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX IF NOT EXISTS spend_journal_segment ON lab.spend_journal (journal_id, segment);
