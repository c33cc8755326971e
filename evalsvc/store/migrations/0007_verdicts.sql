-- Verdicts of gates, whole as JSON. The first of an id stays.
CREATE TABLE IF NOT EXISTS verdicts
(
    verdict_id String,
    suite LowCardinality(String),
    decision LowCardinality(String),
    candidate LowCardinality(String),
    baseline LowCardinality(String),
    decided_at DateTime64(6, 'UTC'),
    verdict String CODEC(ZSTD(3)),
    written_at DateTime64(6, 'UTC') DEFAULT now64(6),
    rank UInt64 DEFAULT bitNot(toUInt64(toUnixTimestamp64Micro(written_at)))
)
ENGINE = ReplacingMergeTree(rank)
ORDER BY verdict_id
TTL toDateTime(written_at) + toIntervalDay(400);

-- Scores that verdicts were decided from, without texts, by their digest. The last written stays: a record is kept as long as its last verdict.
CREATE TABLE IF NOT EXISTS verdict_records
(
    digest String,
    record String CODEC(ZSTD(3)),
    written_at DateTime('UTC') DEFAULT now()
)
ENGINE = ReplacingMergeTree(written_at)
ORDER BY digest
TTL written_at + toIntervalDay(400)
SETTINGS index_granularity = 16;
