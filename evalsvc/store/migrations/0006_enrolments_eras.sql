-- When receivers came and went: number 1 came, 2 was left out of the routes, 3 came back. Of one number the earliest time counts.
CREATE TABLE IF NOT EXISTS alert_enrolments
(
    receiver String,
    number UInt32,
    at DateTime64(6, 'UTC'),
    rank UInt64 DEFAULT bitNot(toUInt64(toUnixTimestamp64Micro(at)))
)
ENGINE = ReplacingMergeTree(rank)
ORDER BY (receiver, number);

-- Who was there stays, since it first was. The other table may be dropped already, by another migrator or before a crash:
-- read through merge() it is then without rows and its column, and no error.
INSERT INTO alert_enrolments (receiver, number, at)
SELECT receiver, 1, min(greatest(COLUMNS('^(enrolled_)?at$')))
FROM merge(currentDatabase(), '^alert_(receivers|enrolments)$')
WHERE _table = 'alert_receivers'
GROUP BY receiver;

DROP TABLE IF EXISTS alert_receivers;

-- How often the clock had been found ahead before the state after it: of two states the later era counts, and then the later time.
ALTER TABLE alert_transitions ADD COLUMN IF NOT EXISTS era UInt16 DEFAULT 0 AFTER evaluated_at;

-- Whether who acknowledged an episode says that it is over: the ruler then ends it.
ALTER TABLE alert_acknowledgements ADD COLUMN IF NOT EXISTS closes UInt8 DEFAULT 0 AFTER note;
