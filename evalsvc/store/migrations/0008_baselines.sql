-- Promotions of baselines, each with its scores and without texts. Nothing is replaced, and all are kept: what was shipped against is asked years later.
CREATE TABLE IF NOT EXISTS baselines
(
    suite String,
    name String,
    promoted_at DateTime64(6, 'UTC'),
    digest String,
    stored String,
    promoted_by String,
    because String,
    model LowCardinality(String),
    model_version LowCardinality(String),
    promotion String CODEC(ZSTD(3)),
    record String CODEC(ZSTD(3)),
    written_at DateTime64(6, 'UTC') DEFAULT now64(6),
    rank UInt64 DEFAULT bitNot(toUInt64(toUnixTimestamp64Micro(written_at)))
)
ENGINE = ReplacingMergeTree(rank)
ORDER BY (suite, name, promoted_at, digest)
SETTINGS index_granularity = 16;
