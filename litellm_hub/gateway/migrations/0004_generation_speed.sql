-- How fast an answer comes once its first token is there: what the chat panel shows as tokens per second. `speed`, which
-- counts the waiting as well, stays. Only answers whose first token has a time have it.
DO $$
DECLARE
    definition text := pg_get_functiondef('lab_usage.rebuild'::regproc);
    speed text := $q$('speed', 'nullif(completion_tokens, 0) / nullif(duration_s, 0)')$q$;
    generation text := $q$('generation', 'CASE WHEN completion_tokens > 1 THEN (completion_tokens - 1) / generation_s END')$q$;
BEGIN
    ASSERT strpos(definition, speed) > 0;
    EXECUTE replace(definition, speed, speed || ', ' || generation);
END $$;
COMMENT ON COLUMN lab_usage.distribution.measure IS
    'duration (s), first_token (s, streamed answers), generation (tokens after the first per second after it, streamed answers) or speed (tokens per second of the whole duration).';

-- What is added up already, as far as the log still holds it; the next refresh goes on from there.
INSERT INTO lab_usage.distribution
SELECT bucket, model, 'generation', is_smoke, sum(n), sum(total), max(largest), array_agg(bin), array_agg(n)
FROM (
    SELECT bucket, model, is_smoke, lab_usage.bin_of(value) AS bin, count(*)::integer AS n, sum(value) AS total,
        max(value) AS largest
    FROM lab_usage.source, LATERAL (SELECT (completion_tokens - 1) / generation_s) AS measured (value)
    WHERE status = 'success' AND NOT cache_hit AND completion_tokens > 1 AND generation_s > 0
        AND bucket >= (SELECT covered_from FROM lab_usage.state)
    GROUP BY bucket, model, is_smoke, bin
) AS binned
GROUP BY bucket, model, is_smoke;
SELECT
    lab_usage.merge_distribution('distribution', 'distribution_day', 'day', first_day, next_day),
    lab_usage.merge_months(first_day, next_day, covered_until)
FROM (
    SELECT date_trunc('day', min(bucket)) AS first_day, date_trunc('day', max(bucket)) + interval '1 day' AS next_day
    FROM lab_usage.distribution WHERE measure = 'generation'
) AS span, lab_usage.state WHERE first_day IS NOT NULL AND covered_until IS NOT NULL;
