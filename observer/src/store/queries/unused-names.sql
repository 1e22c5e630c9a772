-- Names that were looked up and then not connected to.
SELECT
    question_name AS name, group_concat(DISTINCT question_type) AS types, group_concat(DISTINCT response_code) AS responses,
    count(*) AS questions, min(frame) AS first_frame
FROM dns
WHERE run = coalesce(:run, (SELECT max(id) FROM runs)) AND question_name IS NOT NULL
    AND question_name NOT IN (
        SELECT destination_domain FROM flows
        WHERE run = coalesce(:run, (SELECT max(id) FROM runs)) AND destination_domain IS NOT NULL
    )
GROUP BY question_name
ORDER BY questions DESC, name;
