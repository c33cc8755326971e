-- What a score of a whole corpus is made of (BLEU's matches and lengths): sums over events, which a mean of values is not.
ALTER TABLE scores ADD COLUMN IF NOT EXISTS statistics Array(Float64) CODEC(ZSTD(1)) AFTER detail;

-- Where a person finds a record that was no event, if partition and offset do not say so: a file and its line.
ALTER TABLE dead_letters ADD COLUMN IF NOT EXISTS at String AFTER digest;
