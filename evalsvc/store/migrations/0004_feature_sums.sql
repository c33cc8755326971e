-- Sums of the scores' statistics by cell: where these are features of a text (its embedding, its words), the mean of any window comes from here.
-- What was rolled up before has an empty list for each of its cells, as ARRAY JOIN wants lists of one length.
ALTER TABLE rollup ADD COLUMN IF NOT EXISTS sums Array(Array(Float64)) DEFAULT arrayMap(name -> CAST([], 'Array(Float64)'), cell) CODEC(ZSTD(1)) AFTER counts;
