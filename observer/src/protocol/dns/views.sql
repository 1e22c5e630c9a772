-- DNS questions with their answers; one of them may be missing.
CREATE VIEW dns AS SELECT
    dns.flow, flow.run, flow.app, dns.frame, dns.question_name, dns.question_type, dns.response_code,
    dns.response_frame, dns.answers, flow.destination_ip, flow.destination_port
FROM dns_v1 AS dns JOIN flows AS flow ON flow.id = dns.flow;

-- The records of the answers, one a row.
CREATE VIEW dns_answers AS SELECT
    dns.flow, dns.run, dns.app, dns.frame, dns.question_name,
    json_extract(answer.value, '$.name') AS name, json_extract(answer.value, '$.type') AS type,
    json_extract(answer.value, '$.data') AS data, json_extract(answer.value, '$.ttl') AS ttl
FROM dns AS dns, json_each(dns.answers) AS answer;
