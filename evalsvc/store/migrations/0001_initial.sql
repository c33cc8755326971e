-- Masked events, for exact lookup by (consumer, event id). Two records under one id: the lower offset stays.
CREATE TABLE IF NOT EXISTS events
(
    consumer LowCardinality(String),
    event_id String,
    occurred_at DateTime64(6, 'UTC'),
    kind LowCardinality(String),
    application LowCardinality(String),
    model LowCardinality(String),
    model_version LowCardinality(String),
    segments LowCardinality(String),
    session_id String,
    user_id String,
    subject_id String,
    trace_id String,
    stratum LowCardinality(String),
    design_version UInt32,
    pi Float64,
    draw UInt64,
    partition LowCardinality(String),
    offset Int64,
    digest String,
    event String CODEC(ZSTD(3)),
    written_at DateTime('UTC') DEFAULT now(),
    rank UInt64 DEFAULT bitOr(bitShiftLeft(toUInt64(1099511627775 - least(greatest(offset, 0), 1099511627775)), 24), bitAnd(CRC32(partition), 16777215)),
    INDEX event_ids event_id TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = ReplacingMergeTree(rank)
PARTITION BY toYYYYMM(occurred_at)
ORDER BY (consumer, event_id)
TTL written_at + toIntervalDay(30)
SETTINGS index_granularity = 512;

-- One metric's result on one event. The rank picks the same row of two versions in whatever order they arrive:
-- ok before abstained before failed, then a digest of what differs.
CREATE TABLE IF NOT EXISTS scores
(
    metric LowCardinality(String),
    application LowCardinality(String),
    occurred_at DateTime64(6, 'UTC'),
    consumer LowCardinality(String),
    event_id String,
    scorer_version UInt32,
    signature LowCardinality(String),
    model LowCardinality(String),
    model_version LowCardinality(String),
    segments LowCardinality(String),
    session_id String,
    stratum LowCardinality(String),
    design_version UInt32,
    pi Float64,
    status Enum8('failed' = 0, 'abstained' = 1, 'ok' = 2),
    value Nullable(Float64),
    reason LowCardinality(String),
    detail String CODEC(ZSTD(1)),
    written_at DateTime('UTC') DEFAULT now(),
    rank UInt64 DEFAULT bitOr(bitShiftLeft(toUInt64(status), 62), bitShiftRight(reinterpretAsUInt64(substring(MD5(concat(toString(reinterpretAsUInt64(ifNull(value, 0.))), '\0', reason, '\0', detail, '\0', toString(reinterpretAsUInt64(pi)), '\0', toString(design_version), '\0', stratum, '\0', model, '\0', model_version, '\0', segments, '\0', session_id, '\0', toString(toUnixTimestamp64Micro(occurred_at)))), 1, 8)), 2))
)
ENGINE = ReplacingMergeTree(rank)
PARTITION BY toYYYYMM(occurred_at)
PRIMARY KEY (metric, application, toStartOfHour(occurred_at))
ORDER BY (metric, application, toStartOfHour(occurred_at), consumer, event_id, scorer_version, signature)
TTL written_at + toIntervalDay(400);

-- When a bucket (metric, consumer, hour) was last written to. Inserted after the scores that it speaks of.
CREATE TABLE IF NOT EXISTS marks
(
    metric LowCardinality(String),
    consumer LowCardinality(String),
    hour DateTime('UTC'),
    marked_at DateTime64(6, 'UTC') DEFAULT now64(6)
)
ENGINE = ReplacingMergeTree(marked_at)
ORDER BY (metric, consumer, hour)
TTL toDateTime(marked_at) + toIntervalDay(400);

-- One row a bucket, all of its cells in arrays, each named by its dimensions as JSON: a recomputation replaces the whole bucket at once or not at all.
-- version is the time at which the recomputation started to read.
CREATE TABLE IF NOT EXISTS rollup
(
    metric LowCardinality(String),
    consumer LowCardinality(String),
    hour DateTime('UTC'),
    version DateTime64(6, 'UTC'),
    cell Array(LowCardinality(String)),
    n Array(UInt64),
    n_abstained Array(UInt64),
    n_failed Array(UInt64),
    total Array(Float64),
    squares Array(Float64),
    minimum Array(Float64),
    maximum Array(Float64),
    bins Array(Array(Int32)),
    counts Array(Array(UInt64))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(hour)
ORDER BY (metric, consumer, hour)
TTL toDateTime(version) + toIntervalDay(400)
SETTINGS index_granularity = 128;

-- Records that are not events, by their place. No text.
CREATE TABLE IF NOT EXISTS dead_letters
(
    consumer LowCardinality(String),
    partition LowCardinality(String),
    offset Int64,
    received_at DateTime64(6, 'UTC'),
    reason LowCardinality(String),
    message String,
    size UInt64,
    digest String,
    written_at DateTime('UTC') DEFAULT now()
)
ENGINE = ReplacingMergeTree
ORDER BY (consumer, partition, offset)
TTL written_at + toIntervalDay(30);

-- All counts of a chunk's prefix, an entry a chunk. No PARTITION BY: a batch's entries are one part, so they appear together.
CREATE TABLE IF NOT EXISTS ledger
(
    consumer LowCardinality(String),
    partition LowCardinality(String),
    start UInt64,
    upto UInt64,
    first_minute Int64,
    last_minute Int64,
    minutes Array(Int64),
    strata Array(LowCardinality(String)),
    design_versions Array(UInt32),
    outcomes Array(LowCardinality(String)),
    counts Array(UInt64),
    written_at DateTime('UTC') DEFAULT now()
)
ENGINE = ReplacingMergeTree(upto)
ORDER BY (consumer, partition, start)
TTL written_at + toIntervalDay(400)
SETTINGS index_granularity = 128;

-- Sampling designs. Two contents under one version would both stay, and are refused.
CREATE TABLE IF NOT EXISTS designs
(
    consumer LowCardinality(String),
    version UInt32,
    effective_from DateTime64(6, 'UTC'),
    design String,
    digest String,
    written_at DateTime64(6, 'UTC') DEFAULT now64(6)
)
ENGINE = ReplacingMergeTree
ORDER BY (consumer, version, digest);

-- What the scorers that wrote here mean.
CREATE TABLE IF NOT EXISTS scorers
(
    metric LowCardinality(String),
    version UInt32,
    signature String,
    spec String,
    written_at DateTime64(6, 'UTC') DEFAULT now64(6)
)
ENGINE = ReplacingMergeTree
ORDER BY (metric, version, signature);
