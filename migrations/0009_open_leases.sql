-- Up Migration

-- The open leases of all users are counted at every scrape.
create index machine_leases_open on machine_leases (kind) where ended_at is null;
