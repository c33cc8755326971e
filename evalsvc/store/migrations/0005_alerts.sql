-- The last state of every alert, whole as JSON: of two the later evaluated_at stays, of one time that with a transition.
CREATE TABLE IF NOT EXISTS alert_states
(
    fingerprint String,
    rule LowCardinality(String),
    consumer LowCardinality(String),
    phase LowCardinality(String),
    evaluated_at DateTime64(6, 'UTC'),
    moved UInt8,
    state String CODEC(ZSTD(1)),
    written_at DateTime('UTC') DEFAULT now(),
    rank UInt64 DEFAULT bitOr(bitShiftLeft(toUInt64(toUnixTimestamp64Micro(evaluated_at)), 1), moved)
)
ENGINE = ReplacingMergeTree(rank)
ORDER BY fingerprint
TTL written_at + toIntervalDay(400);

-- Changes of phase, each in one row with the state after it, so that they appear together. The first of an id stays.
-- No PARTITION BY: one id is never in two partitions, and a batch is one part.
CREATE TABLE IF NOT EXISTS alert_transitions
(
    id String,
    fingerprint String,
    rule LowCardinality(String),
    consumer LowCardinality(String),
    at DateTime64(6, 'UTC'),
    before LowCardinality(String),
    after LowCardinality(String),
    transition String CODEC(ZSTD(1)),
    evaluated_at DateTime64(6, 'UTC'),
    state String CODEC(ZSTD(1)),
    written_at DateTime64(6, 'UTC') DEFAULT now64(6),
    rank UInt64 DEFAULT bitNot(toUInt64(toUnixTimestamp64Micro(written_at)))
)
ENGINE = ReplacingMergeTree(rank)
ORDER BY id
TTL toDateTime(written_at) + toIntervalDay(400)
SETTINGS index_granularity = 512;

-- What became of telling a receiver. The first stays. Kept longer than transitions: one without its receipt would be told again.
CREATE TABLE IF NOT EXISTS alert_receipts
(
    receiver LowCardinality(String),
    transition String,
    outcome LowCardinality(String),
    at DateTime64(6, 'UTC'),
    attempts UInt32,
    detail String CODEC(ZSTD(1)),
    written_at DateTime64(6, 'UTC') DEFAULT now64(6),
    rank UInt64 DEFAULT bitNot(toUInt64(toUnixTimestamp64Micro(written_at)))
)
ENGINE = ReplacingMergeTree(rank)
ORDER BY (receiver, transition)
TTL toDateTime(written_at) + toIntervalDay(430);

-- Since when a receiver is asked about. The earliest stays.
CREATE TABLE IF NOT EXISTS alert_receivers
(
    receiver String,
    enrolled_at DateTime64(6, 'UTC'),
    rank UInt64 DEFAULT bitNot(toUInt64(toUnixTimestamp64Micro(enrolled_at)))
)
ENGINE = ReplacingMergeTree(rank)
ORDER BY receiver;

-- Silences. The last recorded_at of an id stays.
CREATE TABLE IF NOT EXISTS alert_silences
(
    id String,
    matchers String,
    author String,
    reason String,
    starts_at DateTime64(6, 'UTC'),
    ends_at DateTime64(6, 'UTC'),
    recorded_at DateTime64(6, 'UTC'),
    written_at DateTime('UTC') DEFAULT now()
)
ENGINE = ReplacingMergeTree(recorded_at)
ORDER BY id
TTL greatest(written_at, toDateTime(ends_at)) + toIntervalDay(400);

-- Who looks after an episode of an alert. The last of an episode stays.
CREATE TABLE IF NOT EXISTS alert_acknowledgements
(
    fingerprint String,
    episode DateTime64(6, 'UTC'),
    author String,
    note String,
    at DateTime64(6, 'UTC'),
    written_at DateTime('UTC') DEFAULT now()
)
ENGINE = ReplacingMergeTree(at)
ORDER BY (fingerprint, episode)
TTL written_at + toIntervalDay(400);

-- Claims to leases, by this database's clock: who claimed first leads as long as the claim is renewed in time (evalsvc/store/leases.py).
CREATE TABLE IF NOT EXISTS alert_leases
(
    name String,
    holder String,
    id String,
    claimed_at DateTime64(6, 'UTC'),
    until DateTime64(6, 'UTC'),
    written_at DateTime64(6, 'UTC')
)
ENGINE = ReplacingMergeTree(written_at)
ORDER BY (name, holder, id)
TTL toDateTime(until) + toIntervalDay(7);
