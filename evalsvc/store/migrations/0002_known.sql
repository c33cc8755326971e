-- Which event ids were taken, and with what content. It outlives `events`: as long as a score is kept, its event must not count again.
-- Of two records under one id the same one stays as in `events`.
CREATE TABLE IF NOT EXISTS known
(
    consumer LowCardinality(String),
    event_id String,
    partition LowCardinality(String),
    offset Int64,
    digest String,
    written_at DateTime('UTC') DEFAULT now(),
    rank UInt64 DEFAULT bitOr(bitShiftLeft(toUInt64(1099511627775 - least(greatest(offset, 0), 1099511627775)), 24), bitAnd(CRC32(partition), 16777215)),
    INDEX event_ids event_id TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = ReplacingMergeTree(rank)
ORDER BY (consumer, event_id)
TTL written_at + toIntervalDay(400)
SETTINGS index_granularity = 512;

-- What was taken before this table was there, as far as `events` still tells. May run twice: equal rows are replaced.
INSERT INTO known (consumer, event_id, partition, offset, digest, written_at)
SELECT consumer, event_id, partition, offset, digest, written_at FROM events;
